/* scatter_elements.c: out[i, indices[i, j, k], k] gets updates[i, j, k], for
 * axis 1. */
#include "scatter.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  const ops_tensor *updates = &call->tensors[2];
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), data->rank);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  if (!ops_same_shape(indices, updates))
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "indices and updates must have one shape");
  int32_t code = ops_check_beside(call, data, indices, axis);
  return code ? code : ops_shape_like(call, ops_output(call, 0), data);
}

/* offsets[i] = the element of data that indices[i] names. */
static void fill(const ops_tensor *data, const ops_tensor *indices,
                 int32_t axis, int32_t *offsets) {
  int64_t strides[OPS_MAX_RANK], size = data->shape[axis];
  int32_t last = data->rank - 1, length = indices->shape[last];
  ops_walk rows;
  ops_strides(data, strides);
  ops_walk_start(&rows, indices, data, last);
  if (axis < last) rows.stride[axis] = 0;
  for (int32_t i = 0; i < indices->count; ops_walk_next(&rows)) {
    for (int32_t j = 0; j < length; ++j, ++i) {
      int64_t index = ops_index(indices, i);
      if (index < 0) index += size;
      int64_t offset = rows.offset + index * strides[axis];
      offsets[i] = (int32_t)(axis < last ? offset + j : offset);
    }
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), data->rank);
  int32_t code = ops_check_elements(call, indices, axis, data->shape[axis]);
  if (code) return code;
  int32_t *offsets = ops_workspace(call, indices->count * 4);
  if (!offsets) return OPS_ERROR_MEMORY;
  if (indices->count) fill(data, indices, axis, offsets);
  code = ops_scatter(call, offsets, indices->count, 1, ops_int(call, 1, 0));
  ops_release(offsets);
  return code;
}

const ops_collapse ops_collapse_scatter_elements = {shape, run, 0};

SCATTER_KERNELS(scatter_elements, int32)
SCATTER_KERNELS(scatter_elements, int64)
