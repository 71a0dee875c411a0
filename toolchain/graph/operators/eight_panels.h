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
enum { FEATURES = EIGHT_OWN };
/* Rows of a tile: 8 sums and what a step loads fit 16 registers. Elements of
 * widened panels: 512 KiB, of an L2 of 1 MiB or more. */
enum { EIGHT_ROWS = 4, EIGHT_BLOCK = 1 << 18 };

/* What rows are: `gather` widens `count` of them from `first` on to `to`, each
 * to `depth` elements, an even number. */
typedef struct eight_rows {
  void (*gather)(const struct eight_rows *rows, int64_t first, int64_t count,
                 int16_t *to);
  eight_source source;
  const uint8_t *x;
  int64_t count, depth;
  const void *plan;
} eight_rows;

/* Memory of a product. */
typedef struct {
  float *scales;
  eight_sums *splats; /* [depth / 2][rows of a tile] */
  int16_t *panels;    /* [panels][depth][8] */
  int16_t *rows;      /* [rows of a tile][depth] */
} eight_work;

/* Sums of a tile: a panel by `rows` rows. */
static inline __attribute__((always_inline)) void eight_tile(
    const eight_sums *a, int64_t depth, const int16_t *panel,
    eight_sums (*result)[2], int32_t rows) {
  eight_sums sums[EIGHT_ROWS][2] = {0};
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
    result[i][0] = sums[i][0], result[i][1] = sums[i][1];
}

static void eight_tiles(const eight_sums *a, int64_t depth,
                        const int16_t *panel, eight_sums (*sums)[2],
                        int64_t rows) {
  if (rows == EIGHT_ROWS)
    eight_tile(a, depth, panel, sums, EIGHT_ROWS);
  else if (rows == 3)
    eight_tile(a, depth, panel, sums, 3);
  else if (rows == 2)
    eight_tile(a, depth, panel, sums, 2);
  else
    eight_tile(a, depth, panel, sums, 1);
}

/* Each pair of elements of some rows in all lanes of a register. */
static void eight_splat(const int16_t *rows, int64_t count, int64_t depth,
                        eight_sums *to) {
  int64_t pairs = depth / 2;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t *row = (const int32_t *)(const void *)(rows + i * depth);
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

/* All rows by the `count` widened panels from column n on. */
static void eight_columns(const eight_rows *rows, const eight_finish *f,
                          eight_work work, int64_t n, int64_t count,
                          int64_t columns, uint8_t *out) {
  int64_t depth = rows->depth;
  for (int64_t m = 0; m < rows->count; m += EIGHT_ROWS) {
    int64_t few = rows->count - m < EIGHT_ROWS ? rows->count - m : EIGHT_ROWS;
    rows->gather(rows, m, few, work.rows);
    eight_splat(work.rows, few, depth, work.splats);
    for (int64_t p = 0; p < count; ++p) {
      int64_t first = n + p * EIGHT_WIDTH;
      eight_sums sums[EIGHT_ROWS][2];
      const int16_t *panel = work.panels + p * depth * EIGHT_WIDTH;
      eight_tiles(work.splats, depth, panel, sums, few);
      uint8_t *to = out + (m * columns + first) * f->size;
      for (int64_t i = 0; i < few; ++i, to += columns * f->size)
        eight_put_some(f, first, columns - first, sums[i][0], sums[i][1], to);
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
  int64_t splats = depth / 2 * EIGHT_ROWS * 16, widened = most * panel * 2;
  int64_t bytes = scales + splats + widened + EIGHT_ROWS * depth * 2;
  uint8_t *memory = ops_workspace(call, bytes);
  if (!memory) return OPS_ERROR_MEMORY;
  eight_work work = {(float *)(void *)memory, (void *)(memory + scales),
                     (void *)(memory + scales + splats),
                     (void *)(memory + scales + splats + widened)};
  eight_finish f = eight_finish_of(call, work.scales);
  for (int64_t p = 0; p < all; p += most) {
    int64_t count = all - p < most ? all - p : most;
    for (int64_t i = p; i < p + count; ++i) {
      const int32_t *zero = (const int32_t *)(void *)zeros->data;
      eight_expand((const int8_t *)w->data + i * panel,
                   zeros->absent ? 0 : zero + i * EIGHT_WIDTH, depth,
                   work.panels + (i - p) * panel);
    }
    eight_columns(rows, &f, work, p * EIGHT_WIDTH, count,
                  ops_int(call, FEATURES, 0), out->data);
  }
  ops_release(memory);
  return OPS_OK;
}

/* Fails where weights are not those of rows of k elements. */
static int32_t eight_check_panels(const ops_request *call, int64_t k) {
  int32_t columns = (int32_t)ops_int(call, FEATURES, 0);
  int32_t panels = (columns + EIGHT_WIDTH - 1) / EIGHT_WIDTH;
  int32_t shape[] = {panels, (int32_t)((k + 1) / 2), 2 * EIGHT_WIDTH};
  int32_t code = ops_expect(call, IN_W, 3, shape);
  panels *= EIGHT_WIDTH;
  if (!code) code = ops_expect(call, IN_W_ZERO, 1, &panels);
  return code ? code : eight_check(call, columns);
}

#endif /* OPS_EIGHT_PANELS_H_ */
