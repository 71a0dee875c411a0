/* gather_nd.c: parts of data, each named by a tuple of indices. */
#include "tuples.h"

static int32_t batch_dims(const ops_request *call) {
  return (int32_t)ops_int(call, 0, 0);
}

static int32_t shape(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t batches = batch_dims(call);
  if (batches > data->rank || batches >= indices->rank)
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "batch_dims %d must be at most the rank of data and "
                        "less than that of indices",
                        batches);
  for (int32_t i = 0; i < batches; ++i)
    if (data->shape[i] != indices->shape[i])
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "axis %d of indices has size %d but axis %d of data "
                          "has size %d; make them equal",
                          i, indices->shape[i], i, data->shape[i]);
  int64_t out[2 * OPS_MAX_RANK];
  int32_t rank = ops_tuples_shape(call, data, indices, batches, out);
  return rank < 0 ? OPS_ERROR_SHAPE
                  : ops_set_shape(call, ops_output(call, 0), rank, out);
}

#define EACH(type)                    \
  for (int32_t t = 0; t < count; ++t) \
  ((type *)out)[t] = ((const type *)data)[offsets[t]]

static void copy(uint8_t *out, const uint8_t *data, const int32_t *offsets,
                 int32_t count, int32_t itemsize, int64_t inner) {
  uint32_t bytes = (uint32_t)(inner * itemsize);
  if (inner == 1 && itemsize == 4) {
    EACH(uint32_t);
  } else if (inner == 1 && itemsize == 8) {
    EACH(uint64_t);
  } else if (inner == 1 && itemsize == 1) {
    EACH(uint8_t);
  } else {
    for (int32_t t = 0; t < count; ++t, out += bytes)
      __builtin_memcpy(out, data + (int64_t)offsets[t] * itemsize, bytes);
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t batches = batch_dims(call);
  ops_tuples tuples = ops_tuples_of(data, indices, batches);
  int32_t *offsets = ops_workspace(call, (int64_t)tuples.count * 4);
  if (!offsets) return OPS_ERROR_MEMORY;
  int32_t code =
      ops_tuples_offsets(call, data, indices, batches, tuples, offsets);
  if (!code && data->count)
    copy(ops_output(call, 0)->data, data->data, offsets, tuples.count,
         data->itemsize, tuples.inner);
  ops_release(offsets);
  return code;
}

const ops_collapse ops_collapse_gather_nd = {shape, run, 0};
