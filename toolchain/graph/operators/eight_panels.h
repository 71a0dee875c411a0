/* eight_panels.h: products of rows of 8-bit integers with packed weights.
 *
 * Weights are panels [ceil(N / 8)][ceil(K / 2)][8][2], consecutive in k. Some
 * panels at a time are widened to int16; then, for all of them, a few rows of
 * x, each pair of elements in a register of its own: engines take two
 * instructions to load a pair into all lanes.
 */
#ifndef OPS_EIGHT_PANELS_H_
#define OPS_EIGHT_PANELS_H_

#include "eight_bit.h"

enum { IN_W_ZERO = IN_X_ZERO + 1 }; /* [N], int32 */
/* Rows of a tile: 8 sums and what a step loads fit 16 registers. Elements of
 * widened panels: 512 KiB, of an L2 of 1 MiB or more. Elements of a row that
 * are multiplied before the next panel is: 16 KiB in registers, of an L1 of 32.
 */
enum { EIGHT_ROWS = 4, EIGHT_BLOCK = 1 << 18, EIGHT_DEPTH = 512 };

/* What rows are: `gather` widens `count` of them from `first` on to `to`, each
 * to `depth` elements, an even number. */
typedef struct eight_rows {
  void (*gather)(const struct eight_rows *rows, int64_t first, int64_t count,
                 int16_t *to);
  eight_source source;
  const uint8_t *x;
  int64_t count, length, depth; /* elements of a row of x: `length` */
  const void *plan;             /* what a `gather` of its own needs */
} eight_rows;

/* Rows that follow one another in x. */
static inline void eight_gather(const eight_rows *rows, int64_t first,
                                int64_t count, int16_t *to) {
  int64_t length = rows->length;
  const uint8_t *x = rows->x + first * length;
  if (length == rows->depth) {
    eight_widen(rows->source, x, count * length, to);
    return;
  }
  for (int64_t i = 0; i < count; ++i, x += length, to += rows->depth) {
    eight_widen(rows->source, x, length, to);
    to[length] = 0;
  }
}

/* Memory of a product. */
typedef struct {
  float *scales;
  eight_sums *splats; /* [depth / 2][rows of a tile] */
  int16_t *panels;    /* [panels][depth][8] */
  int16_t *rows;      /* [rows of a tile][depth] */
  eight_sums *sums;   /* [panels][rows of a tile][2] */
} eight_work;

/* Adds the products of a panel with `rows` rows to sums, or starts with 0. */
static inline __attribute__((always_inline)) void eight_tile(
    const eight_sums *a, int64_t depth, const int16_t *panel,
    eight_sums *result, int32_t first, int32_t rows) {
  eight_sums sums[EIGHT_ROWS][2] = {0};
#pragma clang loop unroll(full)
  for (int32_t i = 0; i < rows; ++i) {
    if (first) break;
    sums[i][0] = result[2 * i], sums[i][1] = result[2 * i + 1];
  }
#pragma clang loop unroll(disable)
  for (int64_t k = 0; k < depth; k += 2, panel += 2 * EIGHT_WIDTH, a += rows) {
    eight_words left = *(const eight_words *)panel;
    eight_words right = *(const eight_words *)(panel + EIGHT_WIDTH);
#pragma clang loop unroll(full)
    for (int32_t i = 0; i < rows; ++i) {
      sums[i][0] += eight_dot((eight_words)a[i], left);
      sums[i][1] += eight_dot((eight_words)a[i], right);
    }
  }
#pragma clang loop unroll(full)
  for (int32_t i = 0; i < rows; ++i)
    result[2 * i] = sums[i][0], result[2 * i + 1] = sums[i][1];
}

static void eight_tiles(const eight_sums *a, int64_t depth,
                        const int16_t *panel, eight_sums *sums, int32_t first,
                        int64_t rows) {
  if (rows == EIGHT_ROWS)
    eight_tile(a, depth, panel, sums, first, EIGHT_ROWS);
  else if (rows == 3)
    eight_tile(a, depth, panel, sums, first, 3);
  else if (rows == 2)
    eight_tile(a, depth, panel, sums, first, 2);
  else
    eight_tile(a, depth, panel, sums, first, 1);
}

/* Each pair of `depth` elements of some rows in all lanes of a register. */
static void eight_splat(const int16_t *rows, int64_t step, int64_t count,
                        int64_t depth, eight_sums *to) {
  int64_t pairs = depth / 2;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t *row = (const int32_t *)(const void *)(rows + i * step);
    int64_t k = 0;
    for (; k + 4 <= pairs; k += 4) {
      eight_sums four = *(const eight_sums *)(row + k);
      eight_sums *at = to + k * count + i;
      at[0] = __builtin_shufflevector(four, four, 0, 0, 0, 0);
      at[count] = __builtin_shufflevector(four, four, 1, 1, 1, 1);
      at[2 * count] = __builtin_shufflevector(four, four, 2, 2, 2, 2);
      at[3 * count] = __builtin_shufflevector(four, four, 3, 3, 3, 3);
    }
    for (; k < pairs; ++k)
      to[k * count + i] = (eight_sums){row[k], row[k], row[k], row[k]};
  }
}

/* A panel in int16, less the zero points of its columns. */
static void eight_expand(const int8_t *weights, const int32_t *zeros,
                         int64_t depth, int16_t *panel) {
  eight_words zero[2] = {0};
  for (int32_t i = 0; zeros && i < 2 * EIGHT_WIDTH; ++i)
    zero[i / 8][i % 8] = (int16_t)zeros[i / 2];
  for (int64_t i = 0; i < depth * EIGHT_WIDTH; i += 2 * EIGHT_WIDTH) {
    eight_bytes left = *(const eight_bytes *)(weights + i);
    eight_bytes right = *(const eight_bytes *)(weights + i + EIGHT_WIDTH);
    eight_words *to = (eight_words *)(panel + i);
    to[0] = __builtin_convertvector(left, eight_words) - zero[0];
    to[1] = __builtin_convertvector(right, eight_words) - zero[1];
  }
}

/* Sums of `few` rows with the `count` widened panels. */
static void eight_add(const eight_work *work, int64_t few, int64_t depth,
                      int64_t count) {
  int64_t k = 0;
  do {
    int64_t part = depth - k < EIGHT_DEPTH ? depth - k : EIGHT_DEPTH;
    eight_splat(work->rows + k, depth, few, part, work->splats);
    for (int64_t p = 0; p < count; ++p) {
      const int16_t *panel = work->panels + (p * depth + k) * EIGHT_WIDTH;
      eight_tiles(work->splats, part, panel, work->sums + p * 2 * EIGHT_ROWS,
                  !k, few);
    }
    k += part;
  } while (k < depth);
}

/* All rows by the `count` widened panels from column n on. */
static void eight_columns(const eight_rows *rows, const eight_finish *f,
                          const eight_work *work, int64_t n, int64_t count,
                          int64_t columns, uint8_t *out) {
  for (int64_t m = 0; m < rows->count; m += EIGHT_ROWS) {
    int64_t few = rows->count - m < EIGHT_ROWS ? rows->count - m : EIGHT_ROWS;
    rows->gather(rows, m, few, work->rows);
    eight_add(work, few, rows->depth, count);
    for (int64_t i = 0; i < few; ++i) {
      const eight_sums *sums = work->sums + 2 * i;
      uint8_t *to = out + ((m + i) * columns + n) * f->size;
      for (int64_t at = n; at < n + count * EIGHT_WIDTH; at += EIGHT_WIDTH) {
        eight_put_some(f, at, columns - at, sums[0], sums[1], to);
        to += EIGHT_WIDTH * f->size, sums += 2 * EIGHT_ROWS;
      }
    }
  }
}

/* The product of rows with all panels. */
static int32_t eight_multiply(ops_request *call, const eight_rows *rows) {
  const ops_tensor *out = ops_output(call, 0), *w = &call->tensors[IN_W];
  if (!out->count) return OPS_OK;
  const ops_tensor *zeros = &call->tensors[IN_W_ZERO];
  int64_t depth = rows->depth, panel = depth * EIGHT_WIDTH, all = w->shape[0];
  int64_t most = panel ? EIGHT_BLOCK / panel : all;
  most = most < 1 ? 1 : most > all ? all : most;
  int64_t scales = (call->tensors[IN_SCALE].count + 3) / 4 * 16;
  int64_t splats = EIGHT_DEPTH / 2 * EIGHT_ROWS * 16;
  int64_t sums = most * 2 * EIGHT_ROWS * 16, widened = most * panel * 2;
  int64_t bytes = scales + splats + sums + widened + EIGHT_ROWS * depth * 2;
  uint8_t *memory = ops_workspace(call, bytes), *at = memory;
  if (!memory) return OPS_ERROR_MEMORY;
  eight_work work = {.scales = (void *)at};
  work.splats = (void *)(at += scales);
  work.sums = (void *)(at += splats);
  work.panels = (void *)(at += sums);
  work.rows = (void *)(at + widened);
  eight_finish f = eight_finish_of(call, work.scales);
  for (int64_t p = 0; p < all; p += most) {
    int64_t count = all - p < most ? all - p : most;
    for (int64_t i = p; i < p + count; ++i) {
      const int32_t *zero = (const int32_t *)(void *)zeros->data;
      eight_expand((const int8_t *)w->data + i * panel,
                   zeros->absent ? 0 : zero + i * EIGHT_WIDTH, depth,
                   work.panels + (i - p) * panel);
    }
    eight_columns(rows, &f, &work, p * EIGHT_WIDTH, count,
                  ops_int(call, EIGHT_OWN, 0), out->data);
  }
  ops_release(memory);
  return OPS_OK;
}

/* Fails where weights are not those of rows of k elements. */
static int32_t eight_check_panels(const ops_request *call, int64_t k) {
  int32_t columns = (int32_t)ops_int(call, EIGHT_OWN, 0);
  int32_t panels = (columns + EIGHT_WIDTH - 1) / EIGHT_WIDTH;
  int32_t shape[] = {panels, (int32_t)((k + 1) / 2), 2 * EIGHT_WIDTH};
  int32_t code = ops_expect(call, IN_W, 3, shape);
  panels *= EIGHT_WIDTH;
  if (!code) code = ops_expect(call, IN_W_ZERO, 1, &panels);
  return code ? code : eight_check(call, columns);
}

#endif /* OPS_EIGHT_PANELS_H_ */
