/* check_tensor.c: everything about one tensor argument. */
#include "check.h"
#include "text.h"

/* Tensors stay below this many bytes, so that kernels can index by int32. */
#define MAX_BYTES 2147483647

const ops_dtype_code ops_dtype_codes[OPS_DTYPES] = {
    {2, 32}, {0, 32}, {0, 8}, {1, 8}, {0, 64}, {6, 8},
};

/* standalone.c defines it: a module of its own has no statics for tensors, and
 * what lies below __heap_base is the runtime's. */
extern const char ops_standalone __attribute__((weak));
extern char __heap_base;

static int32_t check_writable(const ops_request *call, const char *what,
                              const char *name, uint32_t start) {
  if (&ops_standalone && start < (uint32_t)(uintptr_t)&__heap_base)
    return ops_fail(call, OPS_ERROR_POINTER,
                    "%s of %s at %l is the module's own memory; use a block "
                    "from ops_alloc",
                    what, name, (int64_t)start);
  return OPS_OK;
}

static int32_t check_dtype(const ops_request *call, const ops_tensor *tensor,
                           DLDataType dtype) {
  const char *wanted = ops_dtype_names[tensor->dtype];
  for (int32_t i = 0; i < OPS_DTYPES; ++i) {
    if (dtype.code != ops_dtype_codes[i].code || dtype.lanes != 1 ||
        dtype.bits != ops_dtype_codes[i].bits)
      continue;
    if (i == tensor->dtype) return OPS_OK;
    return ops_fail(call, OPS_ERROR_DTYPE,
                    "%s is %s but must be %s; cast it, or call the operator "
                    "for its dtype",
                    tensor->name, ops_dtype_names[i], wanted);
  }
  return ops_fail(call, OPS_ERROR_DTYPE,
                  "%s has dtype code %d, %d bits, %d lanes but must be %s",
                  tensor->name, (int32_t)dtype.code, (int32_t)dtype.bits,
                  (int32_t)dtype.lanes, wanted);
}

/* Sizes, count and bytes; a tensor of no elements may have any other sizes. */
static int32_t check_shape(const ops_request *call, ops_tensor *tensor,
                           const int64_t *shape) {
  int64_t count = 1;
  int64_t most = MAX_BYTES / tensor->itemsize;
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (shape[i] < 0 || shape[i] > INT32_MAX)
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "axis %d of %s has size %l; use 0 to 2147483647", i,
                      tensor->name, shape[i]);
    tensor->shape[i] = (int32_t)shape[i];
    count = count * shape[i] > most ? most + 1 : count * shape[i];
  }
  if (count > most)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s %x takes 2^31 bytes or more; split it", tensor->name,
                    tensor);
  tensor->count = count;
  tensor->bytes = tensor->count * tensor->itemsize;
  return OPS_OK;
}

static int32_t check_strides(const ops_request *call, const ops_tensor *tensor,
                             const int64_t *strides) {
  int64_t compact = 1;
  if (!tensor->count) return OPS_OK;
  for (int32_t i = tensor->rank - 1; i >= 0; --i) {
    if (tensor->shape[i] != 1 && strides[i] != compact)
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "%s is not compact: axis %d has stride %l, not %l; copy "
                      "it",
                      tensor->name, i, strides[i], compact);
    compact *= tensor->shape[i];
  }
  return OPS_OK;
}

static int32_t check_data(const ops_request *call, ops_tensor *tensor,
                          const DLTensor *given, int32_t output) {
  uint64_t start = (uint32_t)(uintptr_t)given->data;
  if (!tensor->count) return OPS_OK;
  if (given->byte_offset > UINT32_MAX - start)
    return ops_fail(call, OPS_ERROR_POINTER,
                    "byte_offset of %s is %g: it ends outside memory",
                    tensor->name, (double)given->byte_offset);
  if (start) start += given->byte_offset;
  int32_t code = ops_check_range(call, "data", tensor->name, (uint32_t)start,
                                 (uint64_t)tensor->bytes, tensor->itemsize);
  if (!code && output)
    code = check_writable(call, "data", tensor->name, (uint32_t)start);
  tensor->data = (uint8_t *)(uintptr_t)start;
  return code;
}

/* An output of ops_infer: it needs only room for the answer. */
static int32_t check_room(const ops_request *call, const char *name,
                          const DLTensor *given) {
  uint32_t shape = (uint32_t)(uintptr_t)given->shape;
  int32_t code = ops_check_range(call, "shape", name, shape,
                                 OPS_MAX_RANK * sizeof(int64_t), 8);
  if (!code) code = check_writable(call, "shape", name, shape);
  if (code) return code;
  return check_writable(call, "DLTensor", name, (uint32_t)(uintptr_t)given);
}

static int32_t check_layout(const ops_request *call, ops_tensor *tensor,
                            const DLTensor *given) {
  int32_t code = OPS_OK;
  if (given->ndim < 0 || given->ndim > OPS_MAX_RANK)
    return ops_fail(call, OPS_ERROR_SHAPE, "%s has rank %d; use 0 to %d",
                    tensor->name, given->ndim, OPS_MAX_RANK);
  tensor->rank = (uint8_t)given->ndim;
  uint64_t bytes = (uint64_t)given->ndim * sizeof(int64_t);
  if (given->ndim)
    code = ops_check_range(call, "shape", tensor->name,
                           (uint32_t)(uintptr_t)given->shape, bytes, 8);
  if (!code) code = check_shape(call, tensor, given->shape);
  if (code || !given->ndim || !given->strides) return code;
  code = ops_check_range(call, "strides", tensor->name,
                         (uint32_t)(uintptr_t)given->strides, bytes, 8);
  return code ? code : check_strides(call, tensor, given->strides);
}

int32_t ops_check_tensor(const ops_request *call, ops_tensor *tensor,
                         const ops_param *param, const TVMFFIAny *arg,
                         int32_t output) {
  const DLTensor *given = arg->v_tensor;
  tensor->data = 0;
  tensor->bytes = tensor->count = 0;
  tensor->rank = 0;
  tensor->absent = arg->type_index == OPS_KIND_NONE;
  if (tensor->absent && param->flags & OPS_PARAM_OPTIONAL) return OPS_OK;
  if (arg->type_index != OPS_KIND_TENSOR)
    return ops_fail(call, OPS_ERROR_ARGUMENT, "%s must be a tensor, got %s",
                    tensor->name, ops_kind_name(arg->type_index));
  int32_t code = ops_check_range(call, "DLTensor", tensor->name,
                                 (uint32_t)(uintptr_t)given, sizeof *given, 8);
  if (code) return code;
  if (output && call->inferring) return check_room(call, tensor->name, given);
  if (given->device.device_type != 1)
    return ops_fail(call, OPS_ERROR_ARGUMENT,
                    "%s is on device type %d; use 1, the CPU", tensor->name,
                    given->device.device_type);
  if ((code = check_dtype(call, tensor, given->dtype))) return code;
  if ((code = check_layout(call, tensor, given))) return code;
  return call->inferring ? OPS_OK : check_data(call, tensor, given, output);
}
