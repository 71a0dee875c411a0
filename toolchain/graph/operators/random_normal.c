/* random_normal.c: normally distributed numbers, by Box and Muller. */
#include "random.h"

enum { SHAPE, MEAN, SCALE, SEED };

float ops_math_log(float x) __attribute__((const));
float ops_math_circular(float x, float quarter) __attribute__((const));

static int32_t shape(ops_request *call) {
  return ops_random_shape(call, SHAPE);
}

/* Numbers 2 i and 2 i + 1 are the sine and the cosine of one pair. */
static float normal(uint64_t seed, uint64_t i) {
  uint64_t pair = i & ~(uint64_t)1;
  /* In (0, 1], so that its logarithm is finite. */
  float u = (float)(1 - ops_random_double(seed, pair));
  float turn = (float)(ops_random_double(seed, pair + 1) * 6.283185307179586);
  return __builtin_sqrtf(-2 * ops_math_log(u)) *
         ops_math_circular(turn, (float)(i & 1));
}

static int32_t run(ops_request *call) {
  const ops_tensor *out = ops_output(call, 0);
  double mean = call->values[call->first[MEAN]].f;
  double scale = call->values[call->first[SCALE]].f;
  uint64_t seed = (uint64_t)ops_int(call, SEED, 0);
  float *to = (float *)out->data;
  for (int32_t i = 0; i < out->count; ++i)
    to[i] = (float)(mean + scale * normal(seed, (uint64_t)i));
  return OPS_OK;
}

const ops_collapse ops_collapse_random_normal = {shape, run, 0};
