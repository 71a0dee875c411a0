/* kernel.c: what a collapse needs around a kernel. */
#include "call.h"
#include "memory.h"

void *ops_workspace(const ops_request *call, int64_t bytes) {
  void *workspace = ops_allocate((uint64_t)bytes);
  if (!workspace) ops_fail_memory(call, 0, " a workspace of", bytes);
  return workspace;
}

void ops_release(void *workspace) {
  if (workspace) ops_free(workspace);
}

uint64_t ops_repeat(const void *element, int32_t itemsize) {
  if (itemsize == 1) return *(const uint8_t *)element * 0x0101010101010101u;
  if (OPS_HAS_16_BITS && itemsize == 2)
    return *(const uint16_t *)element * 0x0001000100010001u;
  if (itemsize == 4) return *(const uint32_t *)element * 0x0000000100000001u;
  return *(const uint64_t *)element;
}

int64_t ops_saturate(double value) {
#ifdef __wasm_nontrapping_fptoint__
  return __builtin_wasm_trunc_saturate_s_i64_f64(value);
#else
  if (__builtin_fabs(value) < 0x1p63)
    return __builtin_wasm_trunc_s_i64_f64(value);
  return value < 0 ? INT64_MIN : value > 0 ? INT64_MAX : 0;
#endif
}

int32_t ops_fail_workspace(const ops_request *call) {
  int64_t bytes = (int64_t)ops_free_workspaces();
  return ops_fail_memory(call, 0, " the kernel's workspace of", bytes);
}

int32_t ops_infer_sizes(const ops_request *call, ops_slot *slots,
                        int64_t *sizes) {
  const ops_family *family = call->family;
  slots[family->inputs].p = sizes;
  int32_t code = ops_run_kernel(call, family->infer, slots);
  if (code) return code;
  if (sizes[0])
    return ops_fail_got(call, OPS_ERROR_SHAPE, "%s",
                        family->requirements[sizes[0] - 1]);
  const int64_t *next = sizes + 1;
  for (int32_t o = 0; o < family->outputs; ++o) {
    const ops_param *param = &family->params[family->inputs + o];
    for (int32_t i = 0; i < param->rank; ++i, ++next)
      if (*next < 0 || *next > INT32_MAX)
        return ops_fail_got(call, OPS_ERROR_SHAPE,
                            "axis %d of %s would have size %l", i, param->name,
                            *next);
  }
  return OPS_OK;
}
