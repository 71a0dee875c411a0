/* tuples.h: rows of indices, each of which names a part of a tensor. */
#ifndef OPS_TUPLES_H_
#define OPS_TUPLES_H_

#include "walk.h"

/* indices [..., k]: the first k axes of data after `batches` axes that both
 * have. */
typedef struct {
  int32_t count;  /* tuples */
  int32_t length; /* k */
  int64_t inner;  /* elements of the part that a tuple names */
} ops_tuples;

/* The shape of all that tuples name: indices' but the last axis, then data's
 * rest. The rank, or -1 after ops_fail. */
static inline int32_t ops_tuples_shape(const ops_request *call,
                                       const ops_tensor *data,
                                       const ops_tensor *indices,
                                       int32_t batches, int64_t *shape) {
  int32_t last = indices->rank - 1, at = 0;
  int64_t length = last < 0 ? 0 : indices->shape[last];
  if (last < 0 || length + batches > data->rank) {
    ops_fail_got(call, OPS_ERROR_SHAPE,
                 "indices has tuples of %l for %d axes; make its last axis "
                 "smaller",
                 last < 0 ? -1 : length, data->rank - batches);
    return -1;
  }
  if (last + data->rank - batches - length > OPS_MAX_RANK) {
    ops_fail_got(call, OPS_ERROR_SHAPE,
                 "tuples name %l axes, more than %d; give data fewer",
                 last + data->rank - batches - length, OPS_MAX_RANK);
    return -1;
  }
  for (int32_t i = 0; i < last; ++i) shape[at++] = indices->shape[i];
  for (int32_t i = batches + (int32_t)length; i < data->rank; ++i)
    shape[at++] = data->shape[i];
  return at;
}

static inline ops_tuples ops_tuples_of(const ops_tensor *data,
                                       const ops_tensor *indices,
                                       int32_t batches) {
  int32_t last = indices->rank - 1;
  ops_tuples tuples = {.length = indices->shape[last]};
  tuples.count = (int32_t)ops_product(indices->shape, 0, last);
  tuples.inner = ops_product(data->shape, batches + tuples.length, data->rank);
  return tuples;
}

/* offsets[t] = the element of data at which the part of tuple t begins. */
static inline int32_t ops_tuples_offsets(const ops_request *call,
                                         const ops_tensor *data,
                                         const ops_tensor *indices,
                                         int32_t batches, ops_tuples tuples,
                                         int32_t *offsets) {
  int64_t strides[OPS_MAX_RANK];
  ops_strides(data, strides);
  int32_t each =
      (int32_t)ops_product(indices->shape, batches, indices->rank - 1);
  int64_t batch = ops_product(data->shape, batches, data->rank), base = 0;
  for (int32_t t = 0, left = each, i = 0; t < tuples.count; ++t, --left) {
    if (!left) left = each, base += batch;
    int64_t offset = base;
    for (int32_t c = 0; c < tuples.length; ++c, ++i) {
      int32_t axis = batches + c, size = data->shape[axis];
      int64_t index = ops_index(indices, i);
      if (ops_outside(index, size))
        return ops_check_index(call, indices, i, axis, size);
      offset += (index < 0 ? index + size : index) * strides[axis];
    }
    offsets[t] = (int32_t)offset;
  }
  return OPS_OK;
}

#endif /* OPS_TUPLES_H_ */
