/* compress.c: the slices along an axis that a condition selects. */
#include "walk.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *condition = &call->tensors[1];
  int32_t axis = ops_axis_or_all(call), rank = axis < 0 ? 1 : x->rank;
  if (axis < -1) return OPS_ERROR_ATTRIBUTE;
  if (condition->rank != 1)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "condition has rank %d but must have rank 1",
                        (int32_t)condition->rank);
  int64_t out[OPS_MAX_RANK];
  out[0] = x->count;
  for (int32_t i = 0; axis >= 0 && i < rank; ++i) out[i] = x->shape[i];
  int64_t *most = &out[axis < 0 ? 0 : axis];
  if (condition->count < *most) *most = condition->count;
  return ops_set_shape(call, ops_output(call, 0), rank, out);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  const uint8_t *condition = call->tensors[1].data;
  ops_tensor *out = ops_output(call, 0);
  int32_t axis = ops_axis_or_all(call), at = axis < 0 ? 0 : axis, chosen = 0;
  int64_t size = axis < 0 ? x->count : x->shape[axis];
  int32_t most = out->shape[at];
  int64_t outer = axis < 0 ? 1 : ops_product(x->shape, 0, axis);
  uint32_t slice = x->itemsize;
  if (axis >= 0) slice *= (uint32_t)ops_product(x->shape, axis + 1, x->rank);
  if (!out->count) outer = 0;
  uint8_t *to = out->data;
  for (int32_t i = 0; i < most; ++i) chosen += condition[i] != 0;
  for (int64_t o = 0; o < outer; ++o) {
    const uint8_t *from = x->data + o * size * slice;
    for (int32_t i = 0; i < most; ++i, from += slice) {
      if (!condition[i]) continue;
      __builtin_memcpy(to, from, slice);
      to += slice;
    }
  }
  int32_t sizes[OPS_MAX_RANK];
  for (int32_t i = 0; i < out->rank; ++i) sizes[i] = out->shape[i];
  sizes[at] = chosen;
  ops_set_late(call, out, sizes);
  return OPS_OK;
}

const ops_collapse ops_collapse_compress = {shape, run, 0};
