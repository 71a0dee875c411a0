/* bernoulli.c: 1 with the probability that an element of x is. See random.h. */
#include "random.h"

static int32_t shape(ops_request *call) {
  return ops_shape_like(call, ops_output(call, 0), &call->tensors[0]);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  ops_slot slots[] = {{.p = x->data},
                      {.p = ops_output(call, 0)->data},
                      {.i = x->count},
                      {.i = ops_int(call, 0, 0)}};
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_bernoulli = {shape, run, 0};

#define DEFINE(dtype, type)                                                 \
  int32_t kernel_bernoulli_float32_##dtype(const ops_slot *slots) {         \
    const float *x = slots[0].p;                                            \
    type *out = slots[1].p;                                                 \
    int32_t n = (int32_t)slots[2].i;                                        \
    for (int32_t i = 0; i < n; ++i)                                         \
      out[i] = ops_random_double((uint64_t)slots[3].i, (uint64_t)i) < x[i]; \
    return 0;                                                               \
  }
DEFINE(float32, float)
DEFINE(int32, int32_t)
DEFINE(uint8, uint8_t)
DEFINE(int64, int64_t)
