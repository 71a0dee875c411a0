/* view.c: copies of strided views.
 *
 * The view's axes are merged where they can be. Then two of them make a plane:
 * the last axis, along which the destination is contiguous, and of the others
 * the axis with the smallest stride in the source. A plane is copied in square
 * tiles, so that both sides use whole cache lines; the other axes are counted
 * through.
 */
#include <stddef.h>

#include "call.h"

/* Elements on the side of a tile: 32 lines of 64 bytes on each side fit L1. */
#define TILE 32
/* Bytes below which a loop beats memcpy: memory.copy is a call in engines. */
#define SHORT_ROW 128

typedef struct {
  int32_t rank;
  int64_t size[OPS_MAX_RANK];
  int64_t from[OPS_MAX_RANK]; /* strides, in bytes */
  int64_t to[OPS_MAX_RANK];
} view;

typedef struct {
  int64_t rows, columns;
  int64_t from_row, from_column; /* strides of the source, in bytes */
  int64_t to_row;                /* the destination's columns are contiguous */
} plane;

#define DEFINE_TILE(type)                                                   \
  static void tile_##type(uint8_t *dst, const uint8_t *src, const plane *p, \
                          int64_t rows, int64_t columns) {                  \
    for (int64_t r = 0; r < rows; ++r) {                                    \
      type *to = (type *)(dst + r * p->to_row);                             \
      const uint8_t *from = src + r * p->from_row;                          \
      for (int64_t c = 0; c < columns; ++c, from += p->from_column)         \
        to[c] = *(const type *)from;                                        \
    }                                                                       \
  }
DEFINE_TILE(uint8_t)
DEFINE_TILE(uint16_t)
DEFINE_TILE(uint32_t)
DEFINE_TILE(uint64_t)

static void copy_tile(uint8_t *dst, const uint8_t *src, const plane *p,
                      int64_t rows, int64_t columns, int32_t itemsize) {
  if (itemsize == 4)
    tile_uint32_t(dst, src, p, rows, columns);
  else if (itemsize == 1)
    tile_uint8_t(dst, src, p, rows, columns);
  else if (OPS_HAS_16_BITS && itemsize == 2)
    tile_uint16_t(dst, src, p, rows, columns);
  else
    tile_uint64_t(dst, src, p, rows, columns);
}

static void copy_tiles(uint8_t *dst, const uint8_t *src, const plane *p,
                       int32_t itemsize) {
  for (int64_t r = 0; r < p->rows; r += TILE) {
    int64_t rows = p->rows - r < TILE ? p->rows - r : TILE;
    for (int64_t c = 0; c < p->columns; c += TILE) {
      int64_t columns = p->columns - c < TILE ? p->columns - c : TILE;
      copy_tile(dst + r * p->to_row + c * itemsize,
                src + r * p->from_row + c * p->from_column, p, rows, columns,
                itemsize);
    }
  }
}

static void copy_plane(uint8_t *dst, const uint8_t *src, const plane *p,
                       int32_t itemsize) {
  if (p->from_column != itemsize && p->from_column && p->rows > 1) {
    copy_tiles(dst, src, p, itemsize);
    return;
  }
  if (p->from_column != itemsize || p->columns * itemsize < SHORT_ROW) {
    copy_tile(dst, src, p, p->rows, p->columns, itemsize);
    return;
  }
  for (int64_t r = 0; r < p->rows; ++r)
    __builtin_memcpy(dst + r * p->to_row, src + r * p->from_row,
                     (size_t)(p->columns * itemsize));
}

/* Leaves out axes of size 1 and merges axes that follow each other in memory.
 */
static void merge_axes(view *v, int32_t rank, const int32_t *shape,
                       const int64_t *strides, int32_t itemsize) {
  v->rank = 0;
  for (int32_t i = 0; i < rank; ++i) {
    if (shape[i] == 1) continue;
    int64_t stride = strides[i] * itemsize;
    int32_t last = v->rank - 1;
    if (last >= 0 && v->from[last] == stride * shape[i]) {
      v->size[last] *= shape[i];
      v->from[last] = stride;
      continue;
    }
    v->size[v->rank] = shape[i];
    v->from[v->rank++] = stride;
  }
  if (!v->rank) {
    v->size[0] = 1;
    v->from[v->rank++] = itemsize;
  }
  int64_t to = itemsize;
  for (int32_t i = v->rank - 1; i >= 0; to *= v->size[i--]) v->to[i] = to;
}

static int64_t magnitude(int64_t stride) {
  return stride < 0 ? -stride : stride;
}

/* Takes two axes out of the view: the last, and among the others the
 * axis with the smallest stride in the source. */
static plane take_plane(view *v) {
  int32_t last = --v->rank, row = last - 1;
  plane p = {1, v->size[last], 0, v->from[last], 0};
  if (!last) return p;
  for (int32_t i = row; i >= 0; --i)
    if (magnitude(v->from[i]) < magnitude(v->from[row])) row = i;
  p.rows = v->size[row];
  p.from_row = v->from[row];
  p.to_row = v->to[row];
  --v->rank;
  for (int32_t i = row; i < v->rank; ++i) {
    v->size[i] = v->size[i + 1];
    v->from[i] = v->from[i + 1];
    v->to[i] = v->to[i + 1];
  }
  return p;
}

void ops_copy_view(uint8_t *dst, const uint8_t *src, int32_t rank,
                   const int32_t *shape, const int64_t *strides,
                   int32_t itemsize) {
  view v;
  int64_t index[OPS_MAX_RANK] = {0};
  for (int32_t i = 0; i < rank; ++i)
    if (!shape[i]) return;
  merge_axes(&v, rank, shape, strides, itemsize);
  plane p = take_plane(&v);
  for (;;) {
    copy_plane(dst, src, &p, itemsize);
    int32_t i = v.rank - 1;
    for (; i >= 0; --i) {
      dst += v.to[i];
      src += v.from[i];
      if (++index[i] < v.size[i]) break;
      dst -= v.to[i] * v.size[i];
      src -= v.from[i] * v.size[i];
      index[i] = 0;
    }
    if (i < 0) return;
  }
}
