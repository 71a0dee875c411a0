/* collapse_concat.c: tensors one after the other along an axis.
 *
 * Kernel: out[n] = x[n]; slots: x, out, n. It copies one run, the part of an
 * input that stays contiguous in the output.
 */
#include "call.h"

/* Shorter runs are copied here: below it a call costs more than the copy. */
enum { SHORT_RUN = 16 };

static int32_t concat_axis(const ops_request *call) {
  return ops_axis(call, "axis", ops_int(call, 0, 0), call->tensors[0].rank);
}

static int32_t check(const ops_request *call, int32_t input, int32_t axis) {
  const ops_tensor *first = &call->tensors[0], *x = &call->tensors[input];
  if (x->rank != first->rank) {
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "input %d, %x, has %d axes but input 0, %x, has %d", input,
                    x, x->rank, first, first->rank);
  }
  for (int32_t i = 0; i < x->rank; ++i) {
    if (i == axis || x->shape[i] == first->shape[i]) continue;
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "axis %d of input %d, %x, has size %d but that of input 0, "
                    "%x, has %d; only axis %d may differ",
                    i, input, x, x->shape[i], first, first->shape[i], axis);
  }
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *first = &call->tensors[0];
  int32_t axis = concat_axis(call);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  int64_t out[OPS_MAX_RANK];
  for (int32_t i = 0; i < first->rank; ++i) out[i] = first->shape[i];
  for (int32_t i = 1; i < call->inputs; ++i) {
    int32_t code = check(call, i, axis);
    if (code) return code;
    out[axis] += call->tensors[i].shape[axis];
  }
  return ops_set_shape(call, &call->tensors[call->inputs], first->rank, out);
}

static int32_t copy_run(const ops_request *call, uint8_t *out, uint8_t *x,
                        int32_t bytes, int32_t itemsize) {
  if (bytes >= SHORT_RUN) {
    ops_slot slots[3];
    slots[0].p = x;
    slots[1].p = out;
    slots[2].i = bytes / itemsize;
    return ops_run_kernel(call, call->op->kernel, slots);
  }
  if (itemsize >= 4) {
    const int32_t *from = (const int32_t *)x;
    for (int32_t i = 0; i < bytes / 4; ++i) ((int32_t *)out)[i] = from[i];
  } else {
    for (int32_t i = 0; i < bytes; ++i) out[i] = x[i];
  }
  return OPS_OK;
}

static int32_t run(ops_request *call) {
  const ops_tensor *out = &call->tensors[call->inputs];
  if (out->count == 0) return OPS_OK;
  int32_t rows = (int32_t)ops_product(out->shape, 0, concat_axis(call));
  int32_t pitch = (int32_t)(out->bytes / rows), at = 0;
  for (int32_t i = 0; i < call->inputs; ++i) {
    const ops_tensor *x = &call->tensors[i];
    int32_t bytes = (int32_t)(x->bytes / rows);
    if (bytes == 0) continue;
    for (int32_t row = 0; row < rows; ++row) {
      int32_t code = copy_run(call, out->data + at + row * pitch,
                              x->data + row * bytes, bytes, x->itemsize);
      if (code) return code;
    }
    at += bytes;
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_concat = {shape, run, 0};
