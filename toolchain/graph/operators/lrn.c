/* lrn.c: elements by the squares of channels around theirs. */
#include "walk.h"

enum { SIZE, ALPHA, BETA, BIAS };

float ops_math_pow(float x, float y) __attribute__((const));

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (x->rank < 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has rank %d but must have 2 or more",
                        (int32_t)x->rank);
  return ops_shape_like(call, ops_output(call, 0), x);
}

/* sums = the squares of channels [first, end) added up. */
static void add_up(float *sums, const float *x, int64_t first, int64_t end,
                   int32_t inner) {
  for (int32_t i = 0; i < inner; ++i) sums[i] = 0;
  for (int64_t c = first; c < end; ++c)
    for (int32_t i = 0; i < inner; ++i)
      sums[i] += x[c * inner + i] * x[c * inner + i];
}

static double attribute(const ops_request *call, int32_t a) {
  return call->values[call->first[a]].f;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int32_t inner = (int32_t)ops_product(x->shape, 2, x->rank);
  int64_t channels = x->shape[1], size = ops_int(call, SIZE, 0);
  float alpha = (float)(attribute(call, ALPHA) / (double)size);
  float beta = (float)attribute(call, BETA),
        bias = (float)attribute(call, BIAS);
  if (!x->count) return OPS_OK;
  const float *from = (const float *)x->data;
  float *out = (float *)ops_output(call, 0)->data;
  for (int32_t n = 0; n < x->shape[0]; ++n, from += channels * inner)
    for (int64_t c = 0; c < channels; ++c, out += inner) {
      int64_t first = c - (size - 1) / 2, end = c + size / 2 + 1;
      add_up(out, from, first < 0 ? 0 : first, end > channels ? channels : end,
             inner);
      for (int32_t i = 0; i < inner; ++i)
        out[i] = from[c * inner + i] /
                 ops_math_pow(bias + alpha * out[i], beta);
    }
  return OPS_OK;
}

const ops_collapse ops_collapse_lrn = {shape, run, 0};
