/* collapse_gather.c: slices of data along an axis, chosen by indices.
 *
 * Kernel: out[o, m, k] = data[o, indices[m], k], indices in [-n, n); slots:
 * data [o,n,k], indices [m], out [o,m,k], o, n, k, m, attributes.
 */
#include "call.h"

static int32_t gather_axis(const ops_request *call) {
  return ops_axis(call, "axis", ops_int(call, 0, 0), call->tensors[0].rank);
}

static int32_t shape(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t axis = gather_axis(call), at = 0;
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  int32_t rank = data->rank - 1 + indices->rank;
  if (rank > OPS_MAX_RANK) {
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "the output would have %d axes, more than %d; give %s "
                        "or %s fewer",
                        rank, OPS_MAX_RANK, data->name, indices->name);
  }
  int64_t out[OPS_MAX_RANK];
  for (int32_t i = 0; i < axis; ++i) out[at++] = data->shape[i];
  for (int32_t i = 0; i < indices->rank; ++i) out[at++] = indices->shape[i];
  for (int32_t i = axis + 1; i < data->rank; ++i) out[at++] = data->shape[i];
  return ops_set_shape(call, &call->tensors[call->inputs], rank, out);
}

static int32_t run(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  const ops_tensor *out = &call->tensors[call->inputs];
  int32_t axis = gather_axis(call);
  int32_t code = ops_indices_inside(indices->name, indices->data,
                                    (int32_t)indices->count, indices->itemsize,
                                    axis, data->shape[axis]);
  if (code || out->count == 0) return code;
  ops_slot slots[OPS_MAX_SLOTS];
  slots[0].p = data->data;
  slots[1].p = indices->data;
  slots[2].p = out->data;
  slots[3].i = ops_product(data->shape, 0, axis);
  slots[4].i = data->shape[axis];
  slots[5].i = ops_product(data->shape, axis + 1, data->rank);
  slots[6].i = indices->count;
  ops_attribute_slots(call, slots, 7);
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_gather = {shape, run, 0};
