/* blocks.h: products of weights with rows that lie a step apart, in blocks of
 * four features by eight elements. */
#ifndef OPS_BLOCKS_H_
#define OPS_BLOCKS_H_

#include <stdint.h>

typedef float ops_quad __attribute__((vector_size(16), aligned(4)));
enum { BLOCK_ROWS = 4, BLOCK_COLUMNS = 8 };

/* sums[f] += w[f] x of eight elements, for four features. */
static inline __attribute__((always_inline)) void ops_block_add(
    ops_quad (*sums)[2], const float *w, const float *x) {
  ops_quad left = *(const ops_quad *)x, right = *(const ops_quad *)(x + 4);
#pragma clang loop unroll(full)
  for (int32_t f = 0; f < BLOCK_ROWS; ++f) {
    ops_quad weight = {w[f], w[f], w[f], w[f]};
    sums[f][0] += weight * left;
    sums[f][1] += weight * right;
  }
}

/* A block into rows of `out` that lie `step` apart: `count` of its elements. */
static inline void ops_block_store(const ops_quad (*sums)[2], float *out,
                                   int64_t step, int64_t rows, int64_t count) {
  for (int64_t f = 0; f < rows; ++f)
    if (count >= BLOCK_COLUMNS)
      __builtin_memcpy(out + f * step, sums[f], sizeof sums[f]);
    else
      for (int64_t i = 0; i < count; ++i)
        out[f * step + i] = sums[f][i / 4][i % 4];
}

#endif /* OPS_BLOCKS_H_ */
