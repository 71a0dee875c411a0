/* shape.c: arithmetic of axes and shapes. */
#include "check.h"
#include "text.h"

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

int32_t ops_read_shape(const ops_request *call, ops_tensor *tensor,
                       int32_t rank, const int64_t *shape) {
  const int64_t most = (int64_t)1 << 31; /* only beside a 0 is it more */
  const void *item = 0;
  const char *text = "%s%s has rank %l; use 0 to %l";
  int64_t size = rank, detail = OPS_MAX_RANK, count = 1;
  if ((uint32_t)rank > OPS_MAX_RANK) goto fail;
  text = "%s%s has size %l on axis %l; use 0 to 2147483647";
  for (int32_t i = 0; i < rank; ++i) {
    size = shape[i], detail = i;
    if ((uint64_t)size > INT32_MAX) goto fail;
    tensor->shape[i] = (int32_t)size;
    count *= size;
    if (count > most) count = most;
  }
  tensor->rank = (uint8_t)rank;
  tensor->count = count;
  tensor->bytes = count * tensor->itemsize;
  if (tensor->bytes <= INT32_MAX) return OPS_OK;
  text = "%s %x takes 2^31 bytes or more; split it";
  item = tensor;
fail:
  return ops_fail_with(call, OPS_ERROR_SHAPE, text, tensor->name, item, size,
                       detail);
}

int32_t ops_set_shape(ops_request *call, ops_tensor *output, int32_t rank,
                      const int64_t *shape) {
  int32_t same = rank == output->rank;
  for (int32_t i = 0; same && i < rank; ++i)
    same = shape[i] == output->shape[i];
  if (same) return OPS_OK;
  if (!call->inferring)
    ops_fail_with(call, OPS_ERROR_SHAPE, "%s has shape %v but must be ",
                  output->name, output, 0, 0);
  int32_t code = ops_read_shape(call, output, rank, shape);
  if (code) return ops_append_got(call, code);
  if (call->inferring) return OPS_OK;
  ops_put_shape(output);
  ops_put("; see ops_infer");
  ops_text_end();
  return OPS_ERROR_SHAPE;
}
