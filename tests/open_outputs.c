/* open_outputs.c: a module of version 2 by hand, of one model:
 *
 *   net(x: float32, mask: float32) -> (sum: float32, where: int64)
 *
 * x and mask have one shape, [batch, seq]; sum is x + mask, where [n, 2] says
 * which elements of x are not 0. Memory and errors are the runtime's.
 */
#include "call.h"

uint32_t ops_abi_version(void) { return OPS_ABI_VERSION_OPEN; }

uint32_t ops_count(void) { return 1; }

const char *ops_name(uint32_t index) { return index ? 0 : "net"; }

const char *ops_signature(uint32_t index) {
  return index ? 0
               : "net(x: float32, mask: float32) -> (sum: float32, where: "
                 "int64)";
}

int32_t ops_find(const char *name) {
  (void)name;
  return 0;
}

static void put(DLTensor *out, uint32_t dtype, int64_t rows, int64_t columns) {
  out->ndim = 2;
  out->dtype = ops_dtypes[dtype];
  out->shape[0] = rows;
  out->shape[1] = columns;
}

/* The outputs' shapes, where count elements of x are not 0. */
static int32_t shapes(const TVMFFIAny *args, int64_t count) {
  const DLTensor *x = args[0].v_tensor, *mask = args[1].v_tensor;
  for (int32_t i = 0; i < 2; ++i)
    if (x->shape[i] != mask->shape[i])
      return ops_fail_with(0, OPS_ERROR_SHAPE,
                           "%s%snet: axis %l of mask must have size %l", 0, 0,
                           i, x->shape[i]);
  put(args[2].v_tensor, OPS_FLOAT32, x->shape[0], x->shape[1]);
  put(args[3].v_tensor, OPS_INT64, count, 2);
  return OPS_OK;
}

int32_t ops_infer(uint32_t index, const TVMFFIAny *args, int32_t n) {
  const int64_t *shape = args[0].v_tensor->shape;
  (void)index, (void)n;
  return shapes(args, shape[0] * shape[1]);
}

static int32_t allocate(DLTensor *out, int64_t itemsize) {
  int64_t bytes = out->shape[0] * out->shape[1] * itemsize;
  out->data = bytes < INT32_MAX ? ops_alloc((uint32_t)bytes) : 0;
  return out->data ? OPS_OK : ops_fail_memory(0, "net: ", 0, bytes);
}

int32_t ops_call(uint32_t index, const TVMFFIAny *args, int32_t n) {
  DLTensor *sum = args[2].v_tensor, *where = args[3].v_tensor;
  const float *x = args[0].v_tensor->data, *mask = args[1].v_tensor->data;
  const int64_t *shape = args[0].v_tensor->shape;
  int64_t size = shape[0] * shape[1], count = 0;
  (void)index, (void)n;
  for (int64_t i = 0; i < size; ++i) count += x[i] != 0;
  int32_t code = shapes(args, count);
  if (!code) code = allocate(sum, sizeof(float));
  if (code) return code;
  code = allocate(where, sizeof(int64_t));
  if (code) {
    ops_free(sum->data);
    sum->data = 0;
    return code;
  }
  int64_t *at = where->data;
  for (int64_t i = 0; i < size; ++i) {
    ((float *)sum->data)[i] = x[i] + mask[i];
    if (x[i] != 0) *at++ = i / shape[1], *at++ = i % shape[1];
  }
  return OPS_OK;
}
