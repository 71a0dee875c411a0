/* lp_pool.c: the norm of each window: (sum |x|^p)^(1/p). */
#include "windows3.h"

enum { P = WINDOWS_OWN };

float ops_math_pow(float x, float y) __attribute__((const));

static int32_t shape(ops_request *call) {
  window_axes windows;
  int32_t code = ops_window_axes(call, &windows);
  return code ? code : ops_window_shape(call, &windows, ops_output(call, 0));
}

/* |x|^p added up in float64: squares of float32 do not leave it. */
static double power(float x, int64_t p) {
  double a = __builtin_fabs((double)x), result = 1;
  for (; p; p >>= 1, a *= a)
    if (p & 1) result *= a;
  return result;
}

/* 2^e, for a normal result. */
static double power_of_two(int64_t e) {
  ops_slot slot = {.i = (e + 1023) << 52};
  return slot.f;
}

static float root(double sum, int64_t p) {
  if (p == 1) return (float)sum;
  if (p == 2) return (float)__builtin_sqrt(sum);
  if (!(sum >= 0x1p-1022 && sum - sum == 0)) return (float)sum;
  /* 2^(p e) is taken out, so that the rest is a float32 from 1 to 2^p. */
  ops_slot bits = {.f = sum};
  int64_t exponent = (bits.i >> 52) - 1023;
  int64_t e = exponent < 0 ? -((p - 1 - exponent) / p) : exponent / p;
  float rest = (float)(sum * power_of_two(-e * p / 2) *
                       power_of_two(-e * p - -e * p / 2));
  return (float)((double)ops_math_pow(rest, 1 / (float)p) * power_of_two(e));
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *output = ops_output(call, 0);
  const float *from = (const float *)x->data;
  float *out = (float *)output->data;
  int64_t size = ops_product(x->shape, 2, x->rank), p = ops_int(call, P, 0);
  window_axes windows;
  window_taps taps[SPATIAL];
  int32_t sizes[SPATIAL];
  int32_t code = ops_window_axes(call, &windows);
  if (code || !output->count) return code;
  ops_window_sizes(output, sizes);
  for (int64_t plane = 0; plane < ops_product(x->shape, 0, 2); ++plane)
    EACH_WINDOW(windows.axes, sizes, taps) {
      double sum = 0;
      EACH_TAP(windows.axes, taps, place)
      sum += power(from[plane * size + place], p);
      *out++ = root(sum, p);
    }
  return OPS_OK;
}

const ops_collapse ops_collapse_lp_pool = {shape, run, 0};
