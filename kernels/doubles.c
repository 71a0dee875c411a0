/* doubles.c: kernels of float64, which models alone have.
 *
 * An operator's file names this one as its models_source; a module keeps of it
 * what it calls. As kernels have it: slots of inputs, outputs, sizes, then
 * attributes.
 */
#include "doubles.h"

#include "operator.h"

#define KERNEL(name) \
  __attribute__((weak)) int32_t kernel_##name##_float64(const ops_slot *slots)

/* -- elements: x, out, n -- */

#define EACH(name, value)                      \
  KERNEL(name) {                               \
    const double *from = slots[0].p;           \
    double *to = slots[1].p;                   \
    for (int64_t i = 0; i < slots[2].i; ++i) { \
      double x = from[i];                      \
      to[i] = value;                           \
    }                                          \
    return 0;                                  \
  }

EACH(identity, x)
EACH(exp, exp_of(x))
EACH(log, log_of(x))
EACH(tanh, tanh_of(x))
EACH(sigmoid, sigmoid_of(x))
EACH(erf, erf_of(x))
EACH(sin, circular(x, 0))
EACH(cos, circular(x, 1))

KERNEL(pow) {
  const double *x = slots[0].p, *y = slots[1].p;
  double *to = slots[2].p;
  for (int64_t i = 0; i < slots[3].i; ++i) to[i] = pow_of(x[i], y[i]);
  return 0;
}

KERNEL(mod) {
  const double *x = slots[0].p, *y = slots[1].p;
  double *to = slots[2].p;
  for (int64_t i = 0; i < slots[3].i; ++i)
    to[i] = mod_of(x[i], y[i], slots[4].i);
  return 0;
}

/* -- rows: x [o, n], out, o, n -- */

#define FOLD(name, first, step, last)                  \
  KERNEL(name) {                                       \
    const double *x = slots[0].p;                      \
    double *to = slots[1].p;                           \
    int64_t n = slots[3].i;                            \
    for (int64_t o = 0; o < slots[2].i; ++o, x += n) { \
      double total = first;                            \
      for (int64_t i = 0; i < n; ++i) total = step;    \
      to[o] = last;                                    \
    }                                                  \
    return 0;                                          \
  }

/* NaN comes through: it is neither at most nor at least anything. */
static double larger(double a, double b) { return a <= b || b != b ? b : a; }
static double smaller(double a, double b) { return a >= b || b != b ? b : a; }

FOLD(reduce_sum, 0, total + x[i], total)
FOLD(reduce_mean, 0, total + x[i], total / (double)n)
FOLD(reduce_prod, 1, total *x[i], total)
FOLD(reduce_max, -INF, larger(total, x[i]), total)
FOLD(reduce_min, INF, smaller(total, x[i]), total)

/* x, out, o, n, select_last_index. sign: 1 for the largest. */
static void find(const ops_slot *slots, double sign) {
  const double *x = slots[0].p;
  int64_t *to = slots[1].p, n = slots[3].i, late = slots[4].i;
  for (int64_t o = 0; o < slots[2].i; ++o, x += n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i) {
      double a = sign * x[i], b = sign * x[best];
      int32_t same = a == b || (a != a && b != b);
      if (same ? late != 0 : a > b || (a != a && b == b)) best = i;
    }
    to[o] = best;
  }
}

KERNEL(arg_max) {
  find(slots, 1);
  return 0;
}

KERNEL(arg_min) {
  find(slots, -1);
  return 0;
}

KERNEL(softmax) {
  const double *x = slots[0].p;
  double *to = slots[1].p;
  int64_t n = slots[3].i;
  for (int64_t o = 0; o < slots[2].i; ++o, x += n, to += n) {
    double peak = -INF, total = 0;
    for (int64_t i = 0; i < n; ++i) peak = larger(peak, x[i]);
    for (int64_t i = 0; i < n; ++i) total += to[i] = exp_of(x[i] - peak);
    for (int64_t i = 0; i < n; ++i) to[i] /= total;
  }
  return 0;
}

KERNEL(log_softmax) {
  const double *x = slots[0].p;
  double *to = slots[1].p;
  int64_t n = slots[3].i;
  for (int64_t o = 0; o < slots[2].i; ++o, x += n, to += n) {
    double peak = -INF, total = 0;
    for (int64_t i = 0; i < n; ++i) peak = larger(peak, x[i]);
    for (int64_t i = 0; i < n; ++i) total += exp_of(x[i] - peak);
    for (int64_t i = 0; i < n; ++i) to[i] = x[i] - peak - log_of(total);
  }
  return 0;
}

/* -- products: a [M, K], b [K, N], out, M, K, N -- */

KERNEL(matmul) {
  const double *a = slots[0].p, *b = slots[1].p;
  double *to = slots[2].p;
  int64_t depth = slots[4].i, columns = slots[5].i;
  for (int64_t m = 0; m < slots[3].i; ++m, to += columns) {
    for (int64_t j = 0; j < columns; ++j) to[j] = 0;
    for (int64_t k = 0; k < depth; ++k, ++a)
      for (int64_t j = 0; j < columns; ++j) to[j] += *a * b[k * columns + j];
  }
  return 0;
}
