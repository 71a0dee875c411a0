/* dots.h: products of rows with rows, as weights of [outputs, inputs] lie. */
#ifndef OPS_DOTS_H_
#define OPS_DOTS_H_

#include <stdint.h>

typedef float ops_lanes __attribute__((vector_size(16), aligned(4)));

/* out[i, j] += sum_k a[i, k] * w[j, k] for a tile of rows and columns. Vectors
 * run along k, so that nothing is packed ahead. */
static inline __attribute__((always_inline)) void ops_dots_tile(
    const float *a, const float *w, int32_t depth, float *out, int32_t out_step,
    int32_t rows, int32_t columns) {
  ops_lanes sums[8] = {0};
  float rest[8] = {0};
  int32_t k = 0;
  for (; k + 4 <= depth; k += 4) {
#pragma clang loop unroll(full)
    for (int32_t j = 0; j < columns; ++j) {
      ops_lanes weights = *(const ops_lanes *)(w + (int64_t)j * depth + k);
#pragma clang loop unroll(full)
      for (int32_t i = 0; i < rows; ++i)
        sums[i * columns + j] +=
            *(const ops_lanes *)(a + (int64_t)i * depth + k) * weights;
    }
  }
  for (; k < depth; ++k)
#pragma clang loop unroll(full)
    for (int32_t j = 0; j < columns; ++j)
#pragma clang loop unroll(full)
      for (int32_t i = 0; i < rows; ++i)
        rest[i * columns + j] += a[(int64_t)i * depth + k] *
                                 w[(int64_t)j * depth + k];
#pragma clang loop unroll(full)
  for (int32_t i = 0; i < rows; ++i)
#pragma clang loop unroll(full)
    for (int32_t j = 0; j < columns; ++j) {
      ops_lanes s = sums[i * columns + j];
      out[(int64_t)i * out_step + j] += ((s[0] + s[2]) + (s[1] + s[3])) +
                                        rest[i * columns + j];
    }
}

/* The same for any number of columns, `wide` of them at a time. */
static inline __attribute__((always_inline)) void ops_dots_rows(
    const float *a, int32_t rows, const float *w, int32_t columns,
    int32_t depth, float *out, int32_t out_step, int32_t wide) {
  int32_t j = 0;
  for (; j + wide <= columns; j += wide)
    ops_dots_tile(a, w + (int64_t)j * depth, depth, out + j, out_step, rows,
                  wide);
  for (; j < columns; ++j)
    ops_dots_tile(a, w + (int64_t)j * depth, depth, out + j, out_step, rows, 1);
}

/* The same for any number of rows, too: a [rows, depth], w [columns, depth],
 * out [rows, out_step]. Weights come from memory once for two rows. */
static void ops_dots(const float *a, int32_t rows, const float *w,
                     int32_t columns, int32_t depth, float *out,
                     int32_t out_step) {
  int32_t i = 0;
  for (; i + 2 <= rows; i += 2)
    ops_dots_rows(a + (int64_t)i * depth, 2, w, columns, depth,
                  out + (int64_t)i * out_step, out_step, 4);
  if (i < rows)
    ops_dots_rows(a + (int64_t)i * depth, 1, w, columns, depth,
                  out + (int64_t)i * out_step, out_step, 8);
}

#endif /* OPS_DOTS_H_ */
