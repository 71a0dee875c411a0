/* reverse_sequence.c: the first elements of each sequence, turned round. */
#include "walk.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *lens = &call->tensors[1];
  int32_t batch = (int32_t)ops_int(call, 0, 0);
  if (batch == ops_int(call, 1, 0))
    return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                    "batch_axis and time_axis are both %d; use 0 and 1", batch);
  if (x->rank < 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has rank %d but must have 2 or more",
                        (int32_t)x->rank);
  if (lens->rank != 1 || lens->shape[0] != x->shape[batch])
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "sequence_lens must have shape [%d], as axis %d of x",
                        x->shape[batch], batch);
  return ops_shape_like(call, ops_output(call, 0), x);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  const int64_t *lens = (const int64_t *)call->tensors[1].data;
  int32_t time = (int32_t)ops_int(call, 1, 0);
  int32_t steps = x->shape[time], batches = x->shape[!time];
  for (int32_t b = 0; b < batches; ++b)
    if (lens[b] < 0 || lens[b] > steps)
      return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                      "sequence_lens[%d] is %l, outside the %d steps of x; use "
                      "0..%d",
                      b, lens[b], steps, steps);
  uint32_t part = (uint32_t)(ops_product(x->shape, 2, x->rank) * x->itemsize);
  int64_t step = time ? 1 : batches, next = time ? steps : 1;
  for (int32_t b = 0; x->count && b < batches; ++b)
    for (int64_t t = 0; t < steps; ++t) {
      int64_t from = t < lens[b] ? lens[b] - 1 - t : t;
      __builtin_memcpy(out->data + (t * step + b * next) * part,
                       x->data + (from * step + b * next) * part, part);
    }
  return OPS_OK;
}

const ops_collapse ops_collapse_reverse_sequence = {shape, run, 0};
