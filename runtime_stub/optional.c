/* optional.c: what stands in for optional inputs that are absent.
 *
 * Apart, like attribute.c: the descriptor of each operator with such inputs
 * refers to ops_fill.
 */
#include "call.h"

#define IS_NARROW(name, NAME, code, bits, type) \
  _Static_assert(code != 1 || bits == 8,        \
                 "ops_fill saturates " #name " to 8 bits");
OPS_EACH_DTYPE(IS_NARROW)

uint64_t ops_fill(const ops_request *call, const ops_tensor *tensor) {
  const ops_param *param = call->family->params;
  while (param->name != tensor->name) ++param;
  ops_slot slot = {.f = param->fill};
  float single = (float)slot.f;
  if (tensor->dtype == OPS_FLOAT32) return ops_repeat(&single, 4);
  const DLDataType *dtype = &ops_dtypes[tensor->dtype];
  int64_t high = INT64_MAX >> (64 - dtype->bits), low = -high - 1;
  if (dtype->code) high = UINT8_MAX, low = 0; /* uint8 and bool */
  slot.i = ops_saturate(slot.f);
  if (slot.i > high) slot.i = high;
  if (slot.i < low) slot.i = low;
  return ops_repeat(&slot, tensor->itemsize);
}

void *ops_filled(const ops_request *call, const ops_tensor *tensor,
                 int64_t count) {
  int32_t bytes = (int32_t)count * tensor->itemsize;
  uint64_t fill = ops_fill(call, tensor);
  /* A block has room for whole words. */
  uint64_t *memory = ops_workspace(call, bytes);
  for (int32_t i = 0; memory && i < bytes; i += 8) memory[i / 8] = fill;
  return memory;
}
