/* shape.c: arithmetic of axes and shapes. */
#include "call.h"

int32_t ops_axis(const ops_request *call, const char *attribute, int64_t axis,
                 int32_t rank) {
  if (axis >= -rank && axis < rank)
    return (int32_t)(axis < 0 ? axis + rank : axis);
  const char *name = call->tensors[0].name;
  if (rank)
    ops_fail(call, OPS_ERROR_ATTRIBUTE,
             "%s %l is outside rank %d of %s; use %d..%d", attribute, axis,
             rank, name, -rank, rank - 1);
  else
    ops_fail(call, OPS_ERROR_ATTRIBUTE,
             "%s %l is outside rank 0 of %s; pass %s with an axis", attribute,
             axis, name, name);
  return -1;
}

int32_t ops_same_shape(const ops_tensor *a, const ops_tensor *b) {
  int32_t same = a->rank == b->rank;
  for (int32_t i = 0; same && i < a->rank; ++i)
    same = a->shape[i] == b->shape[i];
  return same;
}

int64_t ops_product(const int32_t *shape, int32_t from, int32_t to) {
  const int64_t most = (int64_t)1 << 31; /* only beside a 0 is it more */
  int64_t product = 1;
  for (int32_t i = from; i < to; ++i) {
    product *= shape[i];
    if (product > most) product = most;
  }
  return product;
}

int32_t ops_set_shape(ops_request *call, ops_tensor *tensor, int32_t rank,
                      const int64_t *shape) {
  if (rank < 0 || rank > OPS_MAX_RANK)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s would have rank %d; the most is %d", tensor->name, rank,
                    OPS_MAX_RANK);
  for (int32_t i = 0; i < rank; ++i) {
    if (shape[i] < 0 || shape[i] > INT32_MAX)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "axis %d of %s would have size %l", i, tensor->name,
                          shape[i]);
    tensor->shape[i] = (int32_t)shape[i];
  }
  tensor->rank = (uint8_t)rank;
  tensor->count = ops_product(tensor->shape, 0, rank);
  tensor->bytes = tensor->count * tensor->itemsize;
  if (tensor->bytes > INT32_MAX)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "%s %x would take 2^31 bytes or more", tensor->name,
                        tensor);
  return OPS_OK;
}
