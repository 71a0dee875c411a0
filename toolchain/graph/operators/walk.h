/* walk.h: what operators over any rank share: strides, a count over axes,
 * indices. */
#ifndef OPS_WALK_H_
#define OPS_WALK_H_

#include "call.h"

/* Counts over the first axes of a tensor, and keeps an offset elsewhere. */
typedef struct {
  int64_t offset; /* sum of at * stride */
  int64_t stride[OPS_MAX_RANK];
  int32_t size[OPS_MAX_RANK];
  int32_t at[OPS_MAX_RANK];
  int32_t rank;
} ops_walk;

/* Strides of a compact tensor, in elements. */
static inline void ops_strides(const ops_tensor *tensor, int64_t *strides) {
  int64_t step = 1;
  for (int32_t i = tensor->rank; i--; step *= tensor->shape[i])
    strides[i] = step;
}

/* A count over the first `rank` axes of `counted`, with the strides of `other`.
 */
static inline void ops_walk_start(ops_walk *walk, const ops_tensor *counted,
                                  const ops_tensor *other, int32_t rank) {
  int64_t strides[OPS_MAX_RANK];
  ops_strides(other, strides);
  walk->offset = 0;
  walk->rank = rank;
  for (int32_t i = 0; i < rank; ++i) {
    walk->size[i] = counted->shape[i];
    walk->stride[i] = strides[i];
    walk->at[i] = 0;
  }
}

static inline void ops_walk_next(ops_walk *walk) {
  for (int32_t i = walk->rank; i--;) {
    walk->offset += walk->stride[i];
    if (++walk->at[i] < walk->size[i]) return;
    walk->offset -= walk->stride[i] * walk->size[i];
    walk->at[i] = 0;
  }
}

/* An element of int32 or int64. */
static inline int64_t ops_index(const ops_tensor *tensor, int64_t i) {
  return tensor->dtype == OPS_INT64 ? ((const int64_t *)tensor->data)[i]
                                    : ((const int32_t *)tensor->data)[i];
}

/* Whether a number is no index of an axis of that size: [-size, size). */
static inline int32_t ops_outside(int64_t index, int32_t size) {
  return (uint64_t)(index + size) >= 2 * (uint64_t)size;
}

/* Whether an element is an index of an axis of that size: [-size, size). */
static inline int32_t ops_check_index(const ops_request *call,
                                      const ops_tensor *indices, int32_t i,
                                      int32_t axis, int32_t size) {
  int64_t index = ops_index(indices, i);
  if (!ops_outside(index, size)) return OPS_OK;
  if (size == 0)
    return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                    "%s[%d] is %l, but axis %d has size 0; use no indices",
                    indices->name, i, index, axis);
  return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                  "%s[%d] is %l, outside axis %d of size %d; use %d..%d",
                  indices->name, i, index, axis, size, -size, size - 1);
}

/* The same of all elements, with one test for all that are good. */
static inline int32_t ops_check_elements(const ops_request *call,
                                         const ops_tensor *indices,
                                         int32_t axis, int32_t size) {
  int32_t count = (int32_t)indices->count, bad = 0;
  for (int32_t i = 0; i < count; ++i)
    bad |= ops_outside(ops_index(indices, i), size);
  for (int32_t i = 0; bad && i < count; ++i) {
    int32_t code = ops_check_index(call, indices, i, axis, size);
    if (code) return code;
  }
  return OPS_OK;
}

/* A product that is 2^40 at most: more than memory has. */
static inline int64_t ops_times(int64_t a, int64_t b) {
  const int64_t most = (int64_t)1 << 40;
  return a && b > most / a ? most : a * b;
}

/* The shape of a tensor, as ops_set_shape takes it. */
static inline int32_t ops_shape_like(ops_request *call, ops_tensor *output,
                                     const ops_tensor *like) {
  int64_t shape[OPS_MAX_RANK];
  for (int32_t i = 0; i < like->rank; ++i) shape[i] = like->shape[i];
  return ops_set_shape(call, output, like->rank, shape);
}

/* Fails where a tensor that is given has another shape. */
static inline int32_t ops_expect(const ops_request *call, int32_t input,
                                 int32_t rank, const int32_t *shape) {
  const ops_tensor *tensor = &call->tensors[input];
  ops_tensor wanted = {.rank = (uint8_t)rank};
  int32_t same = tensor->rank == rank;
  if (tensor->absent) return OPS_OK;
  for (int32_t i = 0; i < rank; ++i) {
    wanted.shape[i] = shape[i];
    same = same && tensor->shape[i] == shape[i];
  }
  if (same) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_SHAPE, "%s has shape %v but must be %v",
                      tensor->name, tensor, &wanted);
}

/* The axis that the first attribute may name; -1 where it names none: the
 * elements of all of x in order. Errors: -2. */
static inline int32_t ops_axis_or_all(const ops_request *call) {
  if (!call->length[0]) return -1;
  int32_t rank = call->tensors[0].rank;
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), rank);
  return axis < 0 ? -2 : axis;
}

/* Fails where indices have another rank than data, or are larger on an axis
 * other than theirs. */
static inline int32_t ops_check_beside(const ops_request *call,
                                       const ops_tensor *data,
                                       const ops_tensor *indices,
                                       int32_t axis) {
  if (indices->rank != data->rank)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "indices has rank %d but must have rank %d, as data",
                        (int32_t)indices->rank, (int32_t)data->rank);
  for (int32_t i = 0; i < data->rank; ++i)
    if (i != axis && indices->shape[i] > data->shape[i])
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "axis %d of indices has size %d, more than the %d of "
                          "data; make it smaller",
                          i, indices->shape[i], data->shape[i]);
  return OPS_OK;
}

static inline ops_tensor *ops_output(ops_request *call, int32_t o) {
  return &call->tensors[call->inputs + o];
}

#endif /* OPS_WALK_H_ */
