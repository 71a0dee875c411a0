/* random_uniform.c: numbers between two limits. See random.h. */
#include "random.h"

enum { SHAPE, LOW, HIGH, SEED };

static int32_t shape(ops_request *call) {
  return ops_random_shape(call, SHAPE);
}

static int32_t run(ops_request *call) {
  const ops_tensor *out = ops_output(call, 0);
  double low = call->values[call->first[LOW]].f;
  double range = call->values[call->first[HIGH]].f - low;
  uint64_t seed = (uint64_t)ops_int(call, SEED, 0);
  float *to = (float *)out->data;
  for (int32_t i = 0; i < out->count; ++i)
    to[i] = (float)(low + range * ops_random_double(seed, (uint64_t)i));
  return OPS_OK;
}

const ops_collapse ops_collapse_random_uniform = {shape, run, 0};
