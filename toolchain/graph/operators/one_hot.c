/* one_hot.c: an axis on which the element that an index names is on. */
#include "walk.h"

static int32_t axis_of(const ops_request *call) {
  int32_t rank = call->tensors[0].rank + 1;
  int64_t axis = ops_int(call, 1, 0);
  if (axis >= -rank && axis < rank)
    return (int32_t)(axis < 0 ? axis + rank : axis);
  ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
               "axis %l is outside rank %d of the result; use %d..%d", axis,
               rank, -rank, rank - 1);
  return -1;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *indices = &call->tensors[0], *values = &call->tensors[1];
  int64_t out[OPS_MAX_RANK + 1];
  int32_t axis = axis_of(call), rank = indices->rank + 1;
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  if (values->rank != 1 || values->count != 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "values must have shape [2]: off, on");
  for (int32_t i = 0; i < rank; ++i)
    out[i] = i == axis ? ops_int(call, 0, 0) : indices->shape[i - (i > axis)];
  return ops_set_shape(call, ops_output(call, 0), rank, out);
}

/* An index as one in [0, depth), or -1. */
static int64_t place_of(const ops_tensor *indices, int32_t i, int64_t depth) {
  double value = 0;
  if (indices->dtype == OPS_FLOAT32)
    value = __builtin_trunc(((const float *)indices->data)[i]);
  int64_t place = indices->dtype == OPS_FLOAT32
                      ? (value == value ? ops_saturate(value) : -depth - 1)
                      : ops_index(indices, i);
  if (place < -depth || place >= depth) return -1;
  return place < 0 ? place + depth : place;
}

/* Every element off: twice as many at a time. */
static void fill(const ops_tensor *out, const uint8_t *off) {
  uint32_t bytes = (uint32_t)out->bytes, done = out->itemsize;
  __builtin_memcpy(out->data, off, done);
  for (uint32_t part; done < bytes; done += part) {
    part = done < bytes - done ? done : bytes - done;
    __builtin_memcpy(out->data + done, out->data, part);
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *indices = &call->tensors[0], *out = ops_output(call, 0);
  const uint8_t *values = call->tensors[1].data;
  int32_t itemsize = out->itemsize, axis = axis_of(call);
  int64_t depth = ops_int(call, 0, 0);
  if (!out->count) return OPS_OK;
  fill(out, values);
  int64_t inner = ops_product(indices->shape, axis, indices->rank);
  for (int64_t i = 0, o = 0; o * inner < indices->count; ++o)
    for (int64_t k = 0; k < inner; ++k, ++i) {
      int64_t place = place_of(indices, (int32_t)i, depth);
      if (place >= 0)
        __builtin_memcpy(out->data +
                             ((o * depth + place) * inner + k) * itemsize,
                         values + itemsize, (uint32_t)itemsize);
    }
  return OPS_OK;
}

const ops_collapse ops_collapse_one_hot = {shape, run, 0};
