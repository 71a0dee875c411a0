/* range_of_floats.c: out[i] = start + i * delta, of floats. */
#include "call.h"

static double value(const ops_request *call, int32_t attribute) {
  return call->values[call->first[attribute]].f;
}

static int32_t shape(ops_request *call) {
  double start = value(call, 0), limit = value(call, 1), delta = value(call, 2);
  double count = __builtin_ceil((limit - start) / delta);
  if (!(count == count) || delta == 0)
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "has no number of steps from start to limit; use "
                        "finite numbers, and a delta other than 0");
  int64_t size = count > 0 ? ops_saturate(count) : 0;
  return ops_set_shape(call, &call->tensors[0], 1, &size);
}

static int32_t run(ops_request *call) {
  ops_slot slots[] = {{.p = call->tensors[0].data},
                      {.i = call->tensors[0].count},
                      {.f = value(call, 0)},
                      {.f = value(call, 2)}};
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_range_of_floats = {shape, run, 0};

int32_t kernel_range_of_floats_float32(const ops_slot *slots) {
  float *out = slots[0].p;
  int32_t count = (int32_t)slots[1].i;
  double start = slots[2].f, delta = slots[3].f;
  for (int32_t i = 0; i < count; ++i) out[i] = (float)(start + i * delta);
  return 0;
}
