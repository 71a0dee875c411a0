/* scatter.h: kernels that put updates where offsets say, and combine them.
 *
 * Slots: out, updates, offsets (int32, in elements of out), how many, elements
 * of each update, reduction.
 */
#ifndef OPS_SCATTER_H_
#define OPS_SCATTER_H_

#include "walk.h"

enum { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN };

#define ADD_INTEGERS(type, a, b) (type)((uint64_t)(a) + (uint64_t)(b))
#define MUL_INTEGERS(type, a, b) (type)((uint64_t)(a) * (uint64_t)(b))
#define MAX_INTEGERS(type, a, b) ((a) > (b) ? (a) : (b))
#define MIN_INTEGERS(type, a, b) ((a) < (b) ? (a) : (b))
#define ADD_FLOATS(type, a, b) ((a) + (b))
#define MUL_FLOATS(type, a, b) ((a) * (b))
#define MAX_FLOATS(type, a, b) __builtin_wasm_max_f32(a, b)
#define MIN_FLOATS(type, a, b) __builtin_wasm_min_f32(a, b)
#define ADD_BOOLS(type, a, b) ((a) | (b))
#define MUL_BOOLS(type, a, b) ((a) & (b))
#define MAX_BOOLS ADD_BOOLS
#define MIN_BOOLS MUL_BOOLS

#define SCATTER_CASE(kind, type, value)                  \
  case kind:                                             \
    for (int32_t t = 0; t < count; ++t, from += inner) { \
      type *to = out + offsets[t];                       \
      for (int32_t i = 0; i < inner; ++i) to[i] = value; \
    }                                                    \
    break;

#define SCATTER_KERNEL(operator, dtype, type, KIND)                     \
  int32_t kernel_##operator##_##dtype(const ops_slot * slots) {         \
    type *out = slots[0].p;                                             \
    const type *from = slots[1].p;                                      \
    const int32_t *offsets = slots[2].p;                                \
    int32_t count = (int32_t)slots[3].i, inner = (int32_t)slots[4].i;   \
    switch (slots[5].i) {                                               \
      SCATTER_CASE(SCATTER_NONE, type, from[i])                         \
      SCATTER_CASE(SCATTER_ADD, type, ADD_##KIND(type, to[i], from[i])) \
      SCATTER_CASE(SCATTER_MUL, type, MUL_##KIND(type, to[i], from[i])) \
      SCATTER_CASE(SCATTER_MAX, type, MAX_##KIND(type, to[i], from[i])) \
      SCATTER_CASE(SCATTER_MIN, type, MIN_##KIND(type, to[i], from[i])) \
    }                                                                   \
    return 0;                                                           \
  }

#define SCATTER_KERNELS(operator, index)                     \
  SCATTER_KERNEL(operator, float32_##index, float, FLOATS)   \
  SCATTER_KERNEL(operator, int32_##index, int32_t, INTEGERS) \
  SCATTER_KERNEL(operator, int8_##index, int8_t, INTEGERS)   \
  SCATTER_KERNEL(operator, uint8_##index, uint8_t, INTEGERS) \
  SCATTER_KERNEL(operator, int64_##index, int64_t, INTEGERS) \
  SCATTER_KERNEL(operator, bool_##index, uint8_t, BOOLS)

/* Runs the kernel over a copy of data. */
static inline int32_t ops_scatter(ops_request *call, int32_t *offsets,
                                  int64_t count, int64_t inner,
                                  int64_t reduction) {
  const ops_tensor *data = &call->tensors[0], *updates = &call->tensors[2];
  ops_tensor *out = ops_output(call, 0);
  __builtin_memcpy(out->data, data->data, (uint32_t)data->bytes);
  ops_slot slots[] = {{.p = out->data}, {.p = updates->data}, {.p = offsets},
                      {.i = count},     {.i = inner},         {.i = reduction}};
  return updates->count ? ops_run_kernel(call, call->op->kernel, slots)
                        : OPS_OK;
}

#endif /* OPS_SCATTER_H_ */
