/* turns.h: exact parts of a circle, in float64. */
#ifndef OPS_TURNS_H_
#define OPS_TURNS_H_

#include "walk.h"

typedef struct {
  double re, im;
} ops_complex;

static inline ops_complex ops_multiply(ops_complex a, ops_complex b) {
  return (ops_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* Cosine and sine of x, |x| <= pi / 4: series to below 2^-53. */
static inline ops_complex ops_near_turn(double x) {
  double s = x * x, c = 1, t = 1;
  for (int32_t i = 9; i > 0; --i) {
    c = 1 - s / (2 * i * (2 * i - 1)) * c;
    t = 1 - s / (2 * i * (2 * i + 1)) * t;
  }
  return (ops_complex){c, x * t};
}

/* exp(2 pi i j / n), 0 <= j < n: the eighth of the circle is exact. */
static inline ops_complex ops_turn(int64_t j, int64_t n) {
  int64_t quarter = (8 * j + n) / (2 * n); /* nearest multiple of n / 4 */
  double x = (double)(4 * j - quarter * n) / (double)n * 1.5707963267948966;
  ops_complex near = ops_near_turn(x);
  switch (quarter & 3) {
    case 1: return (ops_complex){-near.im, near.re};
    case 2: return (ops_complex){-near.re, -near.im};
    case 3: return (ops_complex){near.im, -near.re};
    default: return near;
  }
}

#endif /* OPS_TURNS_H_ */
