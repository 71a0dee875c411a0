/* fourier.h: the discrete Fourier transform of any length, in float64.
 *
 * Lengths of small primes: decimation in time by the least prime (Cooley and
 * Tukey). Others: by a convolution of a power of 2 (Bluestein). n log n both.
 */
#ifndef OPS_FOURIER_H_
#define OPS_FOURIER_H_

#include "turns.h"

static inline int32_t ops_least_prime(int32_t n) {
  for (int32_t p = 2; p <= 61 && p <= n; ++p)
    if (n % p == 0) return p;
  return 0;
}

/* A length as a plan: n of small primes, or m, a power of 2, for Bluestein. */
typedef struct {
  int32_t n, m;        /* m: 0, or from 2 n - 1 on */
  ops_complex *turns;  /* exp(-2 pi i j / (m ? m : n)) for all j */
  ops_complex *chirp;  /* m: exp(-pi i j^2 / n), n of them ... */
  ops_complex *filter; /* ... and the transform of its conjugate, m of them */
  ops_complex *a, *b, *scratch; /* m or n of each */
} ops_fourier;

/* out[k] = sum_j in[j * step] turns[j k ...], n of them. */
static void ops_transform(const ops_fourier *plan, const ops_complex *in,
                          ops_complex *out, int32_t n, int32_t step) {
  int32_t p = ops_least_prime(n), part = p ? n / p : 0;
  if (n <= 1) {
    if (n) out[0] = in[0];
    return;
  }
  int64_t whole = (int64_t)n * step;
  for (int32_t r = 0; r < p; ++r)
    ops_transform(plan, in + (int64_t)r * step, out + r * part, part, step * p);
  ops_complex values[61];
  for (int32_t k = 0; k < part; ++k) {
    for (int32_t r = 0; r < p; ++r)
      values[r] = ops_multiply(out[r * part + k],
                               plan->turns[(int64_t)r * k * step % whole]);
    for (int32_t q = 0; q < p; ++q) {
      ops_complex sum = values[0];
      for (int32_t r = 1; r < p; ++r) {
        int64_t at = (int64_t)r * q % p * part * step;
        ops_complex v = ops_multiply(values[r], plan->turns[at]);
        sum.re += v.re, sum.im += v.im;
      }
      out[q * part + k] = sum;
    }
  }
}

/* Whether elements hold a NaN or an infinity, which reaches all of a result. */
static inline int32_t ops_is_odd(const ops_complex *a, int32_t n) {
  double sum = 0;
  for (int32_t j = 0; j < n; ++j) sum += a[j].re * 0 + a[j].im * 0;
  return sum != 0;
}

/* plan->b = the transform of plan->a; a is used up. A NaN or an infinity makes
 * all of it NaN. */
static void ops_fourier_run(const ops_fourier *plan) {
  int32_t n = plan->n, m = plan->m;
  ops_complex *a = plan->a, *b = plan->b, *c = plan->scratch;
  if (ops_is_odd(a, n)) {
    double nan = __builtin_nan("");
    for (int32_t j = 0; j < n; ++j) b[j] = (ops_complex){nan, nan};
    return;
  }
  if (!m) {
    ops_transform(plan, a, b, n, 1);
    return;
  }
  for (int32_t j = 0; j < m; ++j)
    a[j] = j < n ? ops_multiply(a[j], plan->chirp[j]) : (ops_complex){0, 0};
  ops_transform(plan, a, c, m, 1);
  for (int32_t j = 0; j < m; ++j) {
    /* The inverse transform is that of the conjugate, conjugated. */
    a[j] = ops_multiply(c[j], plan->filter[j]);
    a[j].im = -a[j].im;
  }
  ops_transform(plan, a, c, m, 1);
  for (int32_t j = 0; j < n; ++j) {
    ops_complex v = {c[j].re / m, -c[j].im / m};
    b[j] = ops_multiply(v, plan->chirp[j]);
  }
}

static inline int32_t ops_is_smooth(int32_t n) {
  for (int32_t p; n > 1 && (p = ops_least_prime(n)); n /= p) {
  }
  return n <= 1;
}

/* A plan for n, whose memory begins at plan->turns; OPS_ERROR_MEMORY. */
static inline int32_t ops_fourier_plan(const ops_request *call, int32_t n,
                                       ops_fourier *plan) {
  int64_t m = 1;
  while (m < 2 * (int64_t)n - 1) m *= 2;
  plan->n = n;
  plan->m = ops_is_smooth(n) ? 0 : (int32_t)m;
  int64_t size = plan->m ? m : n;
  plan->turns =
      ops_workspace(call, (size * 5 + n) * (int64_t)sizeof *plan->turns);
  if (!plan->turns) return OPS_ERROR_MEMORY;
  plan->a = plan->turns + size;
  plan->b = plan->a + size;
  plan->scratch = plan->b + size;
  plan->filter = plan->scratch + size;
  plan->chirp = plan->filter + size;
  for (int64_t j = 0; j < size; ++j)
    plan->turns[j] = ops_turn((size - j) % size, size);
  if (!plan->m) return OPS_OK;
  for (int64_t j = 0; j < size; ++j) plan->a[j] = (ops_complex){0, 0};
  for (int64_t j = 0; j < n; ++j) {
    ops_complex turn = ops_turn(j * j % (2 * (int64_t)n), 2 * (int64_t)n);
    plan->chirp[j] = (ops_complex){turn.re, -turn.im};
    plan->a[j] = turn;
    if (j) plan->a[m - j] = turn;
  }
  ops_transform(plan, plan->a, plan->filter, (int32_t)m, 1);
  return OPS_OK;
}

#endif /* OPS_FOURIER_H_ */
