/* range.c: out[i] = start + i * delta, of integers. */
#include "call.h"

/* Elements from start to before limit; as unsigned, for no difference of int64
 * has 64 bits otherwise. */
static uint64_t count_of(int64_t start, int64_t limit, int64_t delta) {
  uint64_t step = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
  uint64_t span = (uint64_t)limit - (uint64_t)start;
  if (delta < 0) span = 0 - span;
  if (delta < 0 ? limit >= start : limit <= start) return 0;
  return (span - 1) / step + 1;
}

static int32_t shape(ops_request *call) {
  int64_t delta = ops_int(call, 2, 0);
  if (delta == 0)
    return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                    "delta is 0; use a step that leads from start to limit");
  uint64_t count = count_of(ops_int(call, 0, 0), ops_int(call, 1, 0), delta);
  int64_t size = count > INT64_MAX ? INT64_MAX : (int64_t)count;
  return ops_set_shape(call, &call->tensors[0], 1, &size);
}

static int32_t run(ops_request *call) {
  ops_slot slots[] = {{.p = call->tensors[0].data},
                      {.i = call->tensors[0].count},
                      {.i = ops_int(call, 0, 0)},
                      {.i = ops_int(call, 2, 0)}};
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_range = {shape, run, 0};

#define DEFINE(name, type, unsigned_type)                          \
  int32_t kernel_range_##name(const ops_slot *slots) {             \
    type *out = slots[0].p;                                        \
    int32_t count = (int32_t)slots[1].i;                           \
    unsigned_type start = (unsigned_type)slots[2].i;               \
    unsigned_type delta = (unsigned_type)slots[3].i;               \
    for (int32_t i = 0; i < count; ++i)                            \
      out[i] = (type)(start + (unsigned_type)(uint32_t)i * delta); \
    return 0;                                                      \
  }

DEFINE(int32, int32_t, uint32_t)
DEFINE(int64, int64_t, uint64_t)
