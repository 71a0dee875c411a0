/* doubles.h: functions of one float64, in a few roundings of the true value.
 *
 * Series: Taylor's, as far as terms count, where arguments are reduced.
 */
#ifndef OPS_DOUBLES_H_
#define OPS_DOUBLES_H_

#include <stdint.h>

#define LN2_HIGH 0x1.62e42feep-1 /* 33 bits: exact times an exponent */
#define LN2_LOW 0x1.a39ef35793c76p-33
#define INF __builtin_inf()
#define NOT_A_NUMBER __builtin_nan("")

typedef union {
  double number;
  uint64_t bits;
} double_word;

/* 2^n, n from -1022 to 1023. */
static inline double power_of_2(int64_t n) {
  double_word word = {.bits = (uint64_t)(n + 1023) << 52};
  return word.number;
}

/* exp(x) - 1 of |x| < 0.35. */
static inline double small_expm1(double x) {
  double sum = 0;
  for (int32_t i = 15; i > 0; --i) sum = (sum + 1) * x / i;
  return sum;
}

static inline double exp_of(double x) {
  if (x != x) return x;
  if (x > 709.79) return INF;
  if (x < -745.2) return 0;
  double n = __builtin_rint(x * 0x1.71547652b82fep0);
  double rest = (x - n * LN2_HIGH) - n * LN2_LOW;
  int64_t half = (int64_t)n / 2; /* two steps, so that denormals round once */
  double found = (1 + small_expm1(rest)) * power_of_2(half);
  return found * power_of_2((int64_t)n - half);
}

static inline double expm1_of(double x) {
  return x > -0.35 && x < 0.35 ? small_expm1(x) : exp_of(x) - 1;
}

/* log(1 + f) of |f| < 0.42: 2 atanh(f / (2 + f)). */
static inline double small_log1p(double f) {
  double s = f / (2 + f), square = s * s, sum = 0;
  for (int32_t i = 23; i > 1; i -= 2) sum = (sum + 1.0 / i) * square;
  return 2 * s + 2 * s * sum;
}

static inline double log_of(double x) {
  if (x != x || x == INF) return x;
  if (x <= 0) return x == 0 ? -INF : NOT_A_NUMBER;
  int64_t more = x < 0x1p-1022 ? 54 : 0;
  double_word word = {x * power_of_2(more)};
  int64_t n = (int64_t)(word.bits >> 52) - 1023 - more;
  word.bits = (word.bits & 0xfffffffffffff) | 0x3ff0000000000000;
  if (word.number > 0x1.6a09e667f3bcdp0) word.number /= 2, ++n;
  double small = small_log1p(word.number - 1);
  return (double)n * LN2_HIGH + (small + (double)n * LN2_LOW);
}

static inline double tanh_of(double x) {
  double size = __builtin_fabs(x);
  double minus = size > 22 ? 1 : expm1_of(2 * size);
  double found = size > 22 ? 1 : minus / (minus + 2);
  return __builtin_copysign(x != x ? x : found, x);
}

static inline double sigmoid_of(double x) { return 1 / (1 + exp_of(-x)); }

/* The sine of x - n pi / 2 turned by n + turn quarters; the rest of pi / 2 is
 * exact for |n| < 2^20, and 4e-17 n beside it. */
static inline double circular(double x, int64_t turn) {
  if (x - x != 0) return NOT_A_NUMBER;
  double n = __builtin_rint(x * 0x1.45f306dc9c883p-1);
  double rest = x - n * 0x1.921fb544p0 - n * 0x1.0b4611a6p-34;
  rest -= n * 0x1.3198a2e037073p-69;
  int64_t quarter = (int64_t)(n - 4 * __builtin_floor(n / 4)) + turn;
  double square = rest * rest, sum = 0, term = quarter & 1 ? 1 : rest;
  for (int32_t i = quarter & 1 ? 20 : 21; i > 1; i -= 2)
    sum = -(1 + sum) * square / (i * (i - 1));
  double found = term + term * sum;
  return quarter & 2 ? -found : found;
}

/* A series of terms of one sign, then a continued fraction of 1 - erf. */
static inline double erf_of(double x) {
  double size = __builtin_fabs(x), root = 0x1.20dd750429b6dp0; /* 2/sqrt pi */
  if (x != x || size > 6) return x != x ? x : __builtin_copysign(1, x);
  double scale = root * exp_of(-x * x), sum = 0;
  if (size < 2.5) {
    for (int32_t i = 119; i > 1; i -= 2) sum = (sum + 1) * (2 * x * x) / i;
    return scale * (x + x * sum);
  }
  for (int32_t i = 80; i > 0; --i) sum = i * 0.5 / (size + sum);
  return __builtin_copysign(1 - scale / (2 * (size + sum)), x);
}

/* exp(y log |x|): 1e-13 beside the true value at the ends of float64. */
static inline double pow_of(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return NOT_A_NUMBER;
  double size = __builtin_fabs(x), whole = __builtin_rint(y);
  double found = size == 1 ? 1 : exp_of(y * log_of(size));
  if (!__builtin_signbit(x)) return found;
  if (whole == y) /* odd ones keep the sign */
    return whole / 2 == __builtin_rint(whole / 2) ? found : -found;
  return size == 0 || size == INF ? found : NOT_A_NUMBER;
}

/* What is left of |x| by whole steps of |y|, exactly: b 2^n, from the largest
 * power of 2 that fits on. */
static inline double rest_of(double x, double y) {
  double left = __builtin_fabs(x), size = __builtin_fabs(y);
  if (left - left != 0 || size == 0 || size != size) return NOT_A_NUMBER;
  while (left >= size) {
    double step = size;
    while (step <= left / 2) step *= 2;
    left -= step;
  }
  return __builtin_copysign(left, x);
}

/* The rest of the sign of x (fmod), or of y. */
static inline double mod_of(double x, double y, int64_t fmod) {
  double rest = rest_of(x, y);
  if (fmod) return rest;
  if (rest == 0) return __builtin_copysign(0, y);
  return (rest < 0) != (y < 0) ? rest + y : rest;
}

#endif /* OPS_DOUBLES_H_ */
