/* multinomial.c: classes drawn by their log-probabilities. See random.h. */
#include "random.h"

enum { SAMPLES, SEED };

float ops_math_exp_difference(float x, float peak) __attribute__((const));

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (x->rank != 2 || (x->shape[0] && !x->shape[1]))
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x must be [N, classes], with a class or more");
  int64_t out[] = {x->shape[0], ops_int(call, SAMPLES, 0)};
  return ops_set_shape(call, ops_output(call, 0), 2, out);
}

/* The largest that is a number; -inf where none is. */
static float peak_of(const float *x, int32_t classes) {
  float peak = -__builtin_inff();
  for (int32_t c = 0; c < classes; ++c) peak = x[c] > peak ? x[c] : peak;
  return peak;
}

/* sums[c] = exp(x[0]) + ... + exp(x[c]), less a factor. */
static void add_up(const float *x, int32_t classes, double *sums) {
  float peak = peak_of(x, classes);
  double total = 0;
  for (int32_t c = 0; c < classes; ++c) {
    if (x[c] <= peak)
      total += x[c] == peak ? 1 : ops_math_exp_difference(x[c], peak);
    sums[c] = total;
  }
}

/* The first class whose sum is above a share of all; the last that has one. */
static int32_t draw(const double *sums, int32_t classes, double share) {
  double place = share * sums[classes - 1];
  int32_t low = 0, high = classes - 1;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (sums[middle] > place)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  int32_t classes = x->shape[1], count = out->shape[1];
  uint64_t seed = (uint64_t)ops_int(call, SEED, 0), at = 0;
  if (!out->count) return OPS_OK;
  double *sums = ops_workspace(call, (int64_t)classes * 8);
  if (!sums) return OPS_ERROR_MEMORY;
  for (int32_t n = 0; n < x->shape[0]; ++n) {
    add_up((const float *)x->data + (int64_t)n * classes, classes, sums);
    for (int32_t i = 0; i < count; ++i, ++at) {
      int32_t found = draw(sums, classes, ops_random_double(seed, at));
      if (out->dtype == OPS_INT64)
        ((int64_t *)out->data)[at] = found;
      else
        ((int32_t *)out->data)[at] = found;
    }
  }
  ops_release(sums);
  return OPS_OK;
}

const ops_collapse ops_collapse_multinomial = {shape, run, 0};
