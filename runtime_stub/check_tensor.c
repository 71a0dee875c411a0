/* check_tensor.c: everything about one tensor argument. */
#include "check.h"
#include "text.h"

#define ROW(name, NAME, code, bits, type) {code, bits, 1},
const DLDataType ops_dtypes[OPS_DTYPES] = {OPS_EACH_DTYPE(ROW)
                                               OPS_EACH_MODEL_DTYPE(ROW)};

static int32_t same_dtype(const DLDataType *a, const DLDataType *b) {
  uint32_t left, right;
  __builtin_memcpy(&left, a, sizeof left);
  __builtin_memcpy(&right, b, sizeof right);
  return left == right;
}

/* Strides of a tensor without elements, and along axes of size 1, do not
 * matter. */
static int32_t check_strides(const ops_request *call, const ops_tensor *tensor,
                             const int64_t *strides) {
  int32_t compact = 1;
  for (int32_t i = tensor->rank; tensor->count && i-- > 0;) {
    if (tensor->shape[i] != 1 && strides[i] != compact)
      return ops_fail_with(call, OPS_ERROR_SHAPE,
                           "%s%s is not compact: axis %l has stride %l; copy "
                           "it",
                           tensor->name, 0, i, strides[i]);
    compact *= tensor->shape[i];
  }
  return OPS_OK;
}

static int32_t fail_dtype(const ops_request *call, const ops_tensor *tensor,
                          const DLDataType *dtype) {
  ops_fail_with(call, 0, "%s is %t but must be ", tensor->name, dtype, 0, 0);
  ops_put_dtype(&ops_dtypes[tensor->dtype]);
  ops_put("; cast it");
  ops_text_end();
  return OPS_ERROR_DTYPE;
}

int32_t ops_check_tensor(ops_request *call, ops_tensor *tensor,
                         const ops_param *param, const TVMFFIAny *arg) {
  const DLTensor *given = arg->v_tensor;
  const char *name = tensor->name;
  int32_t kind = arg->type_index, code;
  tensor->data = 0;
  tensor->bytes = tensor->count = tensor->rank = 0;
  tensor->absent = !kind;
  if (!kind && param->flags & OPS_PARAM_OPTIONAL) return OPS_OK;
  if (kind != OPS_KIND_TENSOR)
    return ops_fail_with(call, OPS_ERROR_ARGUMENT,
                         "%s must be a tensor, got %s", name,
                         ops_kind_name(kind), 0, 0);
  ops_state.checked = name;
  code = ops_check_block(given, sizeof *given, 8, "DLTensor");
  if (code) return code;
  tensor->room = given->shape;
  /* An output while inferring, or one that the call allocates, needs only room
   * for the answer. */
  if ((call->inferring &&
       param >= call->family->params + call->family->inputs) ||
      (param->flags & OPS_PARAM_OPEN && !given->data)) {
    tensor->answer = arg->v_tensor;
    tensor->absent = 1;
    return ops_check_block(given->shape, OPS_MAX_RANK * sizeof(int64_t), 8,
                           "shape");
  }
  if (given->device.device_type != 1)
    return ops_fail_with(call, OPS_ERROR_ARGUMENT,
                         "%s%s is on device type %l; use 1", name, 0,
                         given->device.device_type, 0);
  if (!same_dtype(&given->dtype, &ops_dtypes[tensor->dtype]))
    return fail_dtype(call, tensor, &given->dtype);
  uint32_t rank = (uint32_t)given->ndim;
  uint32_t bytes = rank <= OPS_MAX_RANK ? rank * (uint32_t)sizeof(int64_t) : 0;
  code = ops_check_block(given->shape, bytes, 8, "shape");
  if (!code) code = ops_read_shape(call, tensor, given->ndim, given->shape);
  if (!code && given->strides) {
    code = ops_check_block(given->strides, bytes, 8, "strides");
    if (!code) code = check_strides(call, tensor, given->strides);
  }
  if (code || call->inferring) return code;
  uint64_t start = (uint32_t)(uintptr_t)given->data;
  uint32_t alignment = tensor->itemsize;
  if (start) start += given->byte_offset;
  if (start > UINT32_MAX) start = UINT32_MAX, alignment = 1;
  tensor->data = (uint8_t *)(uintptr_t)start;
  return ops_check_block(tensor->data, (uint32_t)tensor->bytes, alignment,
                         "data");
}
