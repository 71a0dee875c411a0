/* windows.c: pooling in a time that follows from the sizes of its tensors.
 *
 * Kernels fold windows tap by tap, the fastest way unless windows overlap much:
 * 2^20 windows of 2^20 taps are 2^40 steps for 4 MiB. Windows that overlap so
 * much are folded here by doubling: `level` holds folds of 2^b taps from each
 * place on, for one b after another. A window takes a fold for each bit of the
 * number of its taps that lie in the image. First goes the axis that leaves
 * less for the other, which is never more than the image or the result.
 */
#include "windows.h"

#include <stddef.h>

/* How often an element may be read tap by tap. */
#define OVERLAP 64
/* Elements of lines and tables that a call may have in any case. */
#define FIXED 4096

typedef union {
  float f;
  int32_t i;
} word;

int32_t ops_windows_plain(const ops_window_axis axes[2]) {
  const ops_window_axis *y = &axes[0], *x = &axes[1];
  int64_t down = y->taps < y->size ? y->taps : y->size;
  int64_t taps = y->windows * (x->size * down + (int64_t)x->windows * x->taps);
  int64_t line = (int64_t)x->windows * x->stride;
  line += (int64_t)x->taps * x->dilation;
  int64_t elements = (int64_t)y->size * x->size +
                     (int64_t)y->windows * x->windows;
  return taps + line <= OVERLAP * elements + FIXED;
}

static word element(const void *x, int32_t i, int32_t kind) {
  if (kind == OPS_WINDOWS_MAX_INT8) return (word){.i = ((const int8_t *)x)[i]};
  if (kind == OPS_WINDOWS_MAX_UINT8)
    return (word){.i = ((const uint8_t *)x)[i]};
  return ((const word *)x)[i];
}

/* What a window without taps gives. */
static word nothing(int32_t kind) {
  if (kind == OPS_WINDOWS_SUM) return (word){.f = 0};
  if (kind == OPS_WINDOWS_MAX) return (word){.f = -__builtin_inff()};
  return (word){.i = kind == OPS_WINDOWS_MAX_INT8 ? INT8_MIN : 0};
}

/* The sum, or the larger one; of floats as microkernel_pool.py has it. */
static word both(word a, word b, int32_t kind) {
  if (kind == OPS_WINDOWS_SUM) return (word){.f = a.f + b.f};
  if (kind != OPS_WINDOWS_MAX) return a.i > b.i ? a : b;
  word x = a.f < b.f ? b : a, y = b.f < a.f ? a : b;
  return (word){.i = x.i | y.i};
}

/* [low, high): taps of window j that lie in the image. */
static void taps_inside(const ops_window_axis *axis, int64_t first,
                        int64_t *low, int64_t *high) {
  int64_t gap = axis->dilation, room = axis->size - first;
  *high = room > 0 ? (room + gap - 1) / gap : 0;
  if (*high > axis->taps) *high = axis->taps;
  *low = first < 0 ? (gap - 1 - first) / gap : 0;
  if (*low > *high) *low = *high;
}

/* result[outer, windows, inner]: windows along the middle axis of level. */
static void along(word *level, word *result, const ops_window_axis *axis,
                  int32_t outer, int32_t inner, int32_t kind) {
  int32_t count = axis->windows, size = axis->size;
  for (int32_t i = 0; i < outer * count * inner; ++i) result[i] = nothing(kind);
  for (int64_t bit = 1; bit <= axis->taps && bit <= size; bit *= 2) {
    for (int32_t j = 0; j < count; ++j) {
      int64_t first = (int64_t)j * axis->stride - axis->begin, low, high;
      taps_inside(axis, first, &low, &high);
      int64_t taps = high - low, before = taps & (bit - 1);
      if (!(taps & bit)) continue;
      int32_t place = (int32_t)(first + (low + before) * axis->dilation);
      for (int32_t o = 0; o < outer; ++o)
        for (int32_t i = 0; i < inner; ++i) {
          word more = level[(o * size + place) * inner + i];
          word *total = &result[(o * count + j) * inner + i];
          *total = before ? both(*total, more, kind) : more;
        }
    }
    int64_t apart = bit * axis->dilation;
    for (int32_t o = 0; o < outer; ++o)
      for (int32_t i = 0; i < (size - apart) * inner; ++i) {
        word *here = &level[o * size * inner + i];
        *here = both(*here, here[apart * inner], kind);
      }
  }
}

int32_t ops_windows_fold(const void *x, void *out, void *scratch,
                         const ops_window_axis axes[2], int32_t kind) {
  int32_t plane = axes[0].size * axes[1].size;
  int32_t windows = axes[0].windows * axes[1].windows;
  word *level = scratch, *result = level + (plane > windows ? plane : windows);
  for (int32_t i = 0; i < plane; ++i) level[i] = element(x, i, kind);
  int32_t down_first = (int64_t)axes[0].windows * axes[1].size <=
                       (int64_t)axes[0].size * axes[1].windows;
  if (down_first) {
    along(level, result, &axes[0], 1, axes[1].size, kind);
    along(result, level, &axes[1], axes[0].windows, 1, kind);
  } else {
    along(level, result, &axes[1], axes[0].size, 1, kind);
    along(result, level, &axes[0], 1, axes[1].windows, kind);
  }
  for (int32_t i = 0; i < windows; ++i)
    if (kind == OPS_WINDOWS_SUM || kind == OPS_WINDOWS_MAX)
      ((word *)out)[i] = level[i];
    else
      ((uint8_t *)out)[i] = (uint8_t)level[i].i;
  return 0;
}
