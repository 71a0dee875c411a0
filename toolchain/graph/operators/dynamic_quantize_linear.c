/* dynamic_quantize_linear.c: floats to uint8 by the range of them and 0. */
#include "eight_bit.h"

enum { LANES = 4, REGISTERS = 4 };

static int32_t shape(ops_request *call) {
  int32_t code = ops_shape_like(call, ops_output(call, 0), &call->tensors[0]);
  for (int32_t o = 1; !code && o < call->outputs; ++o)
    code = ops_set_shape(call, ops_output(call, o), 0, 0);
  return code;
}

static inline eight_reals lesser(eight_reals a, eight_reals b) {
#ifdef __wasm_simd128__
  return (eight_reals)__builtin_wasm_pmin_f32x4(a, b);
#else
  for (int32_t i = 0; i < LANES; ++i) a[i] = b[i] < a[i] ? b[i] : a[i];
  return a;
#endif
}

/* The least of some numbers and 0; NaN counts as 0. sign: -1 for the greatest,
 * which then is less than 0. */
static float least(const float *x, int64_t count, float sign) {
  eight_reals found[REGISTERS] = {0};
  int64_t i = 0, step = LANES * REGISTERS;
  for (; i + step <= count; i += step)
#pragma clang loop unroll(full)
    for (int32_t r = 0; r < REGISTERS; ++r)
      found[r] =
          lesser(found[r], sign * *(const eight_reals *)(x + i + r * LANES));
  eight_reals all =
      lesser(lesser(found[0], found[1]), lesser(found[2], found[3]));
  float result = 0;
  for (int32_t l = 0; l < LANES; ++l)
    result = all[l] < result ? all[l] : result;
  for (; i < count; ++i) result = sign * x[i] < result ? sign * x[i] : result;
  return result;
}

/* 4 numbers over the scale, rounded. */
static inline eight_sums rounded(const float *x, float scale) {
  eight_reals ratio = *(const eight_reals *)x / scale;
  return eight_rounded((eight_reals)((eight_sums)ratio & (ratio == ratio)));
}

static void quantize(const float *x, int64_t count, float scale, int32_t zero,
                     uint8_t *out) {
  const eight_finish bytes = {.low = 0, .high = 255};
  int64_t i = 0;
  for (; i + EIGHT_WIDTH <= count; i += EIGHT_WIDTH)
    eight_put_bytes(&bytes, rounded(x + i, scale) + zero,
                    rounded(x + i + LANES, scale) + zero, out + i);
  float last[EIGHT_WIDTH] = {0};
  uint8_t rest[EIGHT_WIDTH];
  __builtin_memcpy(last, x + i, (uint32_t)(count - i) * sizeof *x);
  eight_put_bytes(&bytes, rounded(last, scale) + zero,
                  rounded(last + LANES, scale) + zero, rest);
  __builtin_memcpy(out + i, rest, (uint32_t)(count - i));
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  const float *from = (const float *)(const void *)x->data;
  float low = least(from, x->count, 1), high = -least(from, x->count, -1);
  float scale = (high - low) / 255;
  if (!(scale > 0)) scale = 1;
  float points[LANES] = {-low};
  int32_t zero = rounded(points, scale)[0];
  zero = zero < 0 ? 0 : zero > 255 ? 255 : zero;
  *(float *)(void *)ops_output(call, 1)->data = scale;
  *ops_output(call, 2)->data = (uint8_t)zero;
  quantize(from, x->count, scale, zero, ops_output(call, 0)->data);
  return OPS_OK;
}

const ops_collapse ops_collapse_dynamic_quantize_linear = {shape, run, 0};
