/* fast.c: takes the arguments of common calls at once.
 *
 * A kilobyte made for speed, which nothing else needs: a call of three tensors
 * takes 65 ns with it, 110 without. Modules of several operators have it
 * (toolchain/link/link.py); others find null here. Calls that it does not
 * take go through check.c.
 */
#include "check.h"

INLINE int32_t is_hinted(const void *block, uint32_t bytes,
                         uint32_t alignment) {
  return ops_is_hinted((uint32_t)(uintptr_t)block, bytes, alignment);
}

INLINE uint32_t bits_of(const DLDataType *dtype) {
  uint32_t bits;
  __builtin_memcpy(&bits, dtype, sizeof bits);
  return bits;
}

/* A tensor: compact, without strides, in a block that its hint finds. */
INLINE int32_t take(ops_tensor *tensor, const DLTensor *given, uint8_t dtype) {
  const DLDataType *form = &ops_dtypes[dtype];
  const uint64_t most = INT32_MAX;
  uint64_t count = 1, start, bytes;
  uint32_t rank, itemsize = form->bits / 8u;
  if (!is_hinted(given, sizeof *given, 8) || given->device.device_type != 1 ||
      bits_of(&given->dtype) != bits_of(form) || given->strides)
    return 0;
  const int64_t *shape = given->shape;
  rank = (uint32_t)given->ndim;
  if (rank > OPS_MAX_RANK || !is_hinted(shape, rank * 8, 8)) return 0;
  tensor->rank = (uint8_t)rank;
#pragma clang loop unroll(disable)
  for (uint32_t i = 0; i < rank; ++i) {
    uint64_t size = (uint64_t)shape[i];
    if (size > most) return 0;
    tensor->shape[i] = (int32_t)size;
    count *= size;
    if (count > most) return 0;
  }
  bytes = count * itemsize;
  start = (uint32_t)(uintptr_t)given->data + given->byte_offset;
  if (!given->data || start > UINT32_MAX || bytes > most ||
      !is_hinted((void *)(uintptr_t)start, (uint32_t)bytes, itemsize))
    return 0;
  tensor->data = (uint8_t *)(uintptr_t)start;
  tensor->bytes = (int64_t)bytes;
  tensor->count = (int64_t)count;
  tensor->dtype = dtype;
  tensor->itemsize = (uint8_t)itemsize;
  tensor->absent = 0;
  tensor->room = given->shape;
  return 1;
}

int32_t ops_take_plain(ops_request *call, const TVMFFIAny *arg, int32_t n) {
  const ops_family *family = call->family;
  const ops_param *param = family->params;
  const uint8_t *dtype = call->op->dtypes;
  ops_tensor *tensor = call->tensors;
  int32_t inputs = family->inputs, outputs = family->outputs;
  if (call->inferring || !is_hinted(arg, sizeof *arg * (uint32_t)n, 8))
    return 0;
  call->inputs = inputs;
  call->outputs = outputs;
  for (int32_t rest = inputs + outputs; rest; --rest, ++tensor, ++arg) {
    if (arg->type_index != OPS_KIND_TENSOR ||
        param->flags & OPS_PARAM_VARIADIC ||
        !take(tensor, arg->v_tensor, *dtype++))
      return 0;
    tensor->name = param++->name;
  }
  return 1;
}

int32_t ops_is_flat(const ops_request *call) {
  const ops_tensor *output = &call->tensors[call->inputs];
  for (const ops_tensor *in = call->tensors; in != output; ++in) {
    if (in->rank != output->rank || in->absent) return 0;
    for (int32_t i = 0; i < output->rank; ++i)
      if (in->shape[i] != output->shape[i]) return 0;
  }
  return 1;
}
