/* eye_like.c: ones on a diagonal, in the shape of a matrix. */
#include "walk.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (x->rank != 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "x has rank %d but must have 2",
                        (int32_t)x->rank);
  return ops_shape_like(call, ops_output(call, 0), x);
}

static int32_t run(ops_request *call) {
  const ops_tensor *out = ops_output(call, 0);
  int64_t k = ops_int(call, 0, 0), columns = out->shape[1];
  const float one = 1;
  ops_slot bits = {.i = 1}; /* of any integer */
  if (out->dtype == OPS_FLOAT64) bits.f = 1;
  if (out->dtype == OPS_FLOAT32) __builtin_memcpy(&bits, &one, sizeof one);
  __builtin_memset(out->data, 0, (uint32_t)out->bytes);
  int32_t rows = out->shape[0];
  int64_t first = k < 0 ? (k > -rows ? -k : rows) : 0;
  for (int64_t i = first; i < rows && i + k < columns; ++i)
    __builtin_memcpy(out->data + (i * columns + i + k) * out->itemsize, &bits,
                     out->itemsize);
  return OPS_OK;
}

const ops_collapse ops_collapse_eye_like = {shape, run, 0};
