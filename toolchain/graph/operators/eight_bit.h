/* eight_bit.h: products of 8-bit integers, and what makes results of them.
 *
 * out[n] = f(sum), sum of products in int32, where it is exact;
 * f(sum) = (sum + start[n]) * x_scale * scale[n] + bias[n] and, where out is
 * int8 or uint8, rounded, with y_zero; then limits. int32 is sum + start[n].
 * What has an element for each n has zeros up to a multiple of EIGHT_WIDTH.
 */
#ifndef OPS_EIGHT_BIT_H_
#define OPS_EIGHT_BIT_H_

#include "walk.h"

/* Inputs and attributes that all have, in this order. */
enum { IN_X, IN_W, IN_SCALE, IN_START, IN_BIAS, IN_X_SCALE, IN_X_ZERO };
enum { Y_ZERO, MINIMUM, MAXIMUM, EIGHT_OWN };
enum { EIGHT_WIDTH = 8 };

typedef int8_t eight_bytes __attribute__((vector_size(8), aligned(1)));
typedef uint8_t eight_unsigned __attribute__((vector_size(8), aligned(1)));
typedef int16_t eight_words __attribute__((vector_size(16), aligned(2)));
typedef int32_t eight_sums __attribute__((vector_size(16), aligned(4)));
typedef float eight_reals __attribute__((vector_size(16), aligned(4)));

/* -- sums -- */

/* Sums of two products each. */
static inline eight_sums eight_dot(eight_words a, eight_words b) {
#ifdef __wasm_simd128__
  return (eight_sums)__builtin_wasm_dot_s_i32x4_i16x8(a, b);
#else
  eight_sums sums;
  for (int32_t i = 0; i < 4; ++i)
    sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sums;
#endif
}

/* How bytes of x are read: as (byte ^ flip) - zero. */
typedef struct {
  uint8_t flip; /* 128 for int8 */
  int16_t zero;
} eight_source;

static inline eight_source eight_source_of(const ops_request *call) {
  const ops_tensor *zero = &call->tensors[IN_X_ZERO];
  uint8_t flip = call->tensors[IN_X].dtype == OPS_INT8 ? 128 : 0;
  eight_source found = {flip,
                        (uint8_t)((zero->absent ? 0 : *zero->data) ^ flip)};
  return found;
}

/* to[i] = x[i] less its zero point. */
static inline void eight_widen(eight_source source, const uint8_t *x,
                               int64_t count, int16_t *to) {
  int64_t i = 0;
  int16_t z = source.zero, f = source.flip;
  eight_words zero = {z, z, z, z, z, z, z, z};
  eight_words flip = {f, f, f, f, f, f, f, f};
  for (; i + 8 <= count; i += 8) {
    eight_unsigned bytes = *(const eight_unsigned *)(x + i);
    eight_words words = __builtin_convertvector(bytes, eight_words);
    *(eight_words *)(to + i) = (words ^ flip) - zero;
  }
  for (; i < count; ++i) to[i] = (int16_t)((x[i] ^ source.flip) - z);
}

/* -- what makes results of sums -- */

typedef struct {
  const float *scale, *bias;
  const int32_t *start;
  int32_t dtype, size;    /* of the result; bytes of an element */
  eight_sums y_zero;      /* of integers, less what eight_rounded adds ... */
  eight_words low, high;  /* ... and their limits */
  float minimum, maximum; /* of floats ... */
  int32_t plain;          /* bytes, with a start and no bias */
  int32_t limited;        /* ... where they have limits */
} eight_finish;

/* The bits of 1.5 * 2^23, a number that has no bits below 1. */
enum { EIGHT_ROUNDING = 0x4b400000 };

/* Whole numbers plus EIGHT_ROUNDING, halves to even: of less than 2^22 in
 * magnitude. */
static inline eight_sums eight_rounded(eight_reals real) {
  return (eight_sums)(real + 12582912.0f);
}

/* Integers in the limits, as bytes. */
static inline void eight_put_bytes(const eight_finish *f, eight_sums left,
                                   eight_sums right, uint8_t *out) {
  left += f->y_zero, right += f->y_zero;
#ifdef __wasm_simd128__
  eight_words words =
      (eight_words)__builtin_wasm_narrow_s_i16x8_i32x4(left, right);
  words = __builtin_elementwise_max(words, f->low);
  words = __builtin_elementwise_min(words, f->high) & 255;
  eight_sums bytes =
      (eight_sums)__builtin_wasm_narrow_u_i8x16_i16x8(words, words);
  __builtin_memcpy(out, &bytes, EIGHT_WIDTH);
#else
  for (int32_t i = 0; i < EIGHT_WIDTH; ++i) {
    int32_t x = i < 4 ? left[i] : right[i - 4];
    x = x < f->low[0] ? f->low[0] : x > f->high[0] ? f->high[0] : x;
    out[i] = (uint8_t)x;
  }
#endif
}

/* What makes bytes, with limits. */
static inline eight_finish eight_bytes_of(int32_t zero, int32_t low,
                                          int32_t high) {
  eight_finish f = {0};
  f.y_zero += zero - EIGHT_ROUNDING;
  f.low += (int16_t)low, f.high += (int16_t)high;
  return f;
}

/* Bytes of EIGHT_WIDTH sums, of channels from n on, where f is plain. */
static inline void eight_put_plain(const eight_finish *f, int64_t n,
                                   eight_sums left, eight_sums right,
                                   uint8_t *out) {
  left += *(const eight_sums *)(f->start + n);
  right += *(const eight_sums *)(f->start + n + 4);
  eight_reals a = __builtin_convertvector(left, eight_reals);
  eight_reals b = __builtin_convertvector(right, eight_reals);
  a *= *(const eight_reals *)(f->scale + n);
  b *= *(const eight_reals *)(f->scale + n + 4);
  eight_put_bytes(f, eight_rounded(a), eight_rounded(b), out);
}

/* Results of EIGHT_WIDTH sums, of channels from n on. */
static inline void eight_put(const eight_finish *f, int64_t n, eight_sums left,
                             eight_sums right, uint8_t *out) {
  if (f->start) {
    left += *(const eight_sums *)(f->start + n);
    right += *(const eight_sums *)(f->start + n + 4);
  }
  if (f->dtype == OPS_INT32) {
    ((eight_sums *)(void *)out)[0] = left;
    ((eight_sums *)(void *)out)[1] = right;
    return;
  }
  eight_reals a = __builtin_convertvector(left, eight_reals);
  eight_reals b = __builtin_convertvector(right, eight_reals);
  a *= *(const eight_reals *)(f->scale + n);
  b *= *(const eight_reals *)(f->scale + n + 4);
  if (f->bias) {
    a += *(const eight_reals *)(f->bias + n);
    b += *(const eight_reals *)(f->bias + n + 4);
  }
  if (f->dtype == OPS_FLOAT32) {
    ((eight_reals *)(void *)out)[0] = a, ((eight_reals *)(void *)out)[1] = b;
    for (int32_t i = 0; f->limited && i < EIGHT_WIDTH; ++i) {
      float *x = (float *)(void *)out + i;
      *x = *x < f->minimum ? f->minimum : *x > f->maximum ? f->maximum : *x;
    }
    return;
  }
  eight_put_bytes(f, eight_rounded(a), eight_rounded(b), out);
}

/* The same of `count` channels, where fewer are left. */
static inline void eight_put_some(const eight_finish *f, int64_t n,
                                  int64_t count, eight_sums left,
                                  eight_sums right, uint8_t *out) {
  if (count >= EIGHT_WIDTH) {
    if (f->plain)
      eight_put_plain(f, n, left, right, out);
    else
      eight_put(f, n, left, right, out);
    return;
  }
  float whole[EIGHT_WIDTH];
  eight_put(f, n, left, right, (uint8_t *)whole);
  __builtin_memcpy(out, whole, (uint32_t)(count * f->size));
}

static inline int32_t eight_limit(double limit, int32_t least) {
  return limit < least         ? least
         : limit > least + 255 ? least + 255
                               : (int32_t)limit;
}

/* Data of an optional input. */
static inline const void *eight_given(const ops_request *call, int32_t input) {
  const ops_tensor *tensor = &call->tensors[input];
  return tensor->absent ? 0 : tensor->data;
}

/* What results of `call` are made with; x_scale is multiplied into `scales`. */
static inline eight_finish eight_finish_of(const ops_request *call,
                                           float *scales) {
  const ops_tensor *t = call->tensors, *out = &t[call->inputs];
  double low = call->values[call->first[MINIMUM]].f;
  double high = call->values[call->first[MAXIMUM]].f;
  int32_t least = out->dtype == OPS_INT8 ? -128 : 0;
  eight_finish f = eight_bytes_of((int32_t)ops_int(call, Y_ZERO, 0),
                                  eight_limit(low, least),
                                  eight_limit(high, least));
  f.scale = eight_given(call, IN_SCALE);
  f.bias = eight_given(call, IN_BIAS);
  f.start = eight_given(call, IN_START);
  f.dtype = out->dtype, f.size = out->itemsize;
  f.minimum = (float)low, f.maximum = (float)high;
  f.plain = f.size == 1 && f.start && !f.bias;
  f.limited = low > -1e39 || high < 1e39;
  if (f.scale && !t[IN_X_SCALE].absent) {
    float x_scale = *(const float *)(void *)t[IN_X_SCALE].data;
    for (int64_t i = 0; i < t[IN_SCALE].count; ++i)
      scales[i] = f.scale[i] * x_scale;
    f.scale = scales;
  }
  return f;
}

/* Fails where what each channel has one of has not as many as the panels. */
static inline int32_t eight_check(const ops_request *call, int32_t channels) {
  int32_t some = (channels + EIGHT_WIDTH - 1) / EIGHT_WIDTH * EIGHT_WIDTH;
  int32_t code = ops_expect(call, IN_SCALE, 1, &some);
  if (!code) code = ops_expect(call, IN_START, 1, &some);
  if (!code) code = ops_expect(call, IN_BIAS, 1, &some);
  if (!code) code = ops_expect(call, IN_X_SCALE, 0, 0);
  return code ? code : ops_expect(call, IN_X_ZERO, 0, 0);
}

#endif /* OPS_EIGHT_BIT_H_ */
