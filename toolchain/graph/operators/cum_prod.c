/* cum_prod.c: running products of rows.
 *
 * Kernels: slots x [o, n], out, o, n, exclusive, reverse.
 */
#include "call.h"

enum { X, OUT, O, N, EXCLUSIVE, REVERSE };

#define DEFINE(name, type)                                       \
  int32_t kernel_cum_prod_##name(const ops_slot *slots) {        \
    const type *x = slots[X].p;                                  \
    type *out = slots[OUT].p;                                    \
    int64_t n = slots[N].i, step = slots[REVERSE].i ? -1 : 1;    \
    for (int64_t o = 0; o < slots[O].i; ++o, x += n, out += n) { \
      type total = 1;                                            \
      int64_t at = step < 0 ? n - 1 : 0;                         \
      for (int64_t i = 0; i < n; ++i, at += step) {              \
        type before = total;                                     \
        total *= x[at];                                          \
        out[at] = slots[EXCLUSIVE].i ? before : total;           \
      }                                                          \
    }                                                            \
    return 0;                                                    \
  }

DEFINE(float32, float)
DEFINE(float64, double)
DEFINE(int32, uint32_t)
DEFINE(int64, uint64_t)
