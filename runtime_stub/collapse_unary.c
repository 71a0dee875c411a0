/* collapse_unary.c: elementwise kernels of one input.
 *
 * They get a multiple of OPS_BLOCK elements, so that they are made without a
 * loop for the rest (toolchain/lower/te.py): the last block goes through a
 * buffer.
 */
#include "call.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *input = call->tensors;
  int64_t shape[OPS_MAX_RANK];
  if (!call->inferring && ops_same_shape(input, input + 1)) return OPS_OK;
  for (int32_t i = 0; i < input->rank; ++i) shape[i] = input->shape[i];
  return ops_set_shape(call, &call->tensors[1], input->rank, shape);
}

/* At any address: wasm has no alignment traps. */
typedef uint32_t __attribute__((aligned(1), may_alias)) word;

static void copy(void *to, const void *from, int32_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  for (; bytes >= 4; bytes -= 4, out += 4, in += 4)
    *(word *)out = *(const word *)in;
  while (bytes--) *out++ = *in++;
}

static int32_t run_on(ops_request *call, const void *from, void *to,
                      int32_t count) {
  ops_slot *slots = call->plan.unary.slots;
  ops_attribute_slots(call, slots, 3);
  slots[0].p = (void *)from;
  slots[1].p = to;
  slots[2].i = count;
  return ops_run_kernel(call, call->op->kernel, slots);
}

static int32_t run(ops_request *call) {
  uint64_t *input = call->plan.unary.input, *output = call->plan.unary.output;
  const ops_tensor *in = call->tensors, *out = in + 1;
  const uint8_t *from = in->data, *last = (const uint8_t *)output;
  int32_t rest = (int32_t)in->count % OPS_BLOCK,
          done = (int32_t)in->count - rest;
  int32_t code = OPS_OK;
  /* The last block comes first: in place, its first elements are lost then. */
  if (rest && done) {
    from += (done + rest - OPS_BLOCK) * in->itemsize;
    last += (OPS_BLOCK - rest) * out->itemsize;
  } else if (rest) {
    copy(input, from, rest * in->itemsize);
    from = (const uint8_t *)input;
  }
  if (rest) code = run_on(call, from, output, OPS_BLOCK);
  if (!code && done) code = run_on(call, in->data, out->data, done);
  if (!code && rest)
    copy(out->data + done * out->itemsize, last, rest * out->itemsize);
  return code;
}

const ops_collapse ops_collapse_unary = {shape, run, 1};
