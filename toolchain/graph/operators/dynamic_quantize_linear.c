/* dynamic_quantize_linear.c: floats to uint8 by the range of them and 0. */
#include "eight_bit.h"

enum { LANES = 4, REGISTERS = 3 };

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

/* ends[0] is the least of some numbers and 0, ends[1] that of their negatives.
 * NaN counts as 0. */
static void find_ends(const float *x, int64_t count, float *ends) {
  eight_reals low[REGISTERS] = {0}, high[REGISTERS] = {0};
  int64_t i = 0, step = LANES * REGISTERS;
  for (; i + step <= count; i += step)
#pragma clang loop unroll(full)
    for (int32_t r = 0; r < REGISTERS; ++r) {
      eight_reals some = *(const eight_reals *)(x + i + r * LANES);
      low[r] = lesser(low[r], some), high[r] = lesser(high[r], -some);
    }
  for (int32_t r = 1; r < REGISTERS; ++r)
    low[0] = lesser(low[0], low[r]), high[0] = lesser(high[0], high[r]);
  for (; i < count; ++i) {
    eight_reals one = {x[i]};
    low[0] = lesser(low[0], one), high[0] = lesser(high[0], -one);
  }
  ends[0] = ends[1] = 0;
  for (int32_t l = 0; l < LANES; ++l) {
    ends[0] = low[0][l] < ends[0] ? low[0][l] : ends[0];
    ends[1] = high[0][l] < ends[1] ? high[0][l] : ends[1];
  }
}

/* 4 numbers over the scale, rounded. */
static inline eight_sums rounded(const float *x, float scale) {
  eight_reals ratio = *(const eight_reals *)x / scale;
  return eight_rounded((eight_reals)((eight_sums)ratio & (ratio == ratio)));
}

static void quantize(const float *x, int64_t count, float scale, int32_t zero,
                     uint8_t *out) {
  const eight_finish bytes = eight_bytes_of(zero, 0, 255);
  int64_t i = 0;
  for (; i + EIGHT_WIDTH <= count; i += EIGHT_WIDTH)
    eight_put_bytes(&bytes, rounded(x + i, scale),
                    rounded(x + i + LANES, scale), out + i);
  float last[EIGHT_WIDTH] = {0};
  uint8_t rest[EIGHT_WIDTH];
  __builtin_memcpy(last, x + i, (uint32_t)(count - i) * sizeof *x);
  eight_put_bytes(&bytes, rounded(last, scale), rounded(last + LANES, scale),
                  rest);
  __builtin_memcpy(out + i, rest, (uint32_t)(count - i));
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  const float *from = (const float *)(const void *)x->data;
  float ends[2];
  find_ends(from, x->count, ends);
  float low = ends[0], scale = (-ends[1] - low) / 255;
  if (!(scale > 0)) scale = 1;
  float points[LANES] = {-low};
  int32_t zero = rounded(points, scale)[0] - EIGHT_ROUNDING;
  zero = zero < 0 ? 0 : zero > 255 ? 255 : zero;
  *(float *)(void *)ops_output(call, 1)->data = scale;
  *ops_output(call, 2)->data = (uint8_t)zero;
  quantize(from, x->count, scale, zero, ops_output(call, 0)->data);
  return OPS_OK;
}

const ops_collapse ops_collapse_dynamic_quantize_linear = {shape, run, 0};
