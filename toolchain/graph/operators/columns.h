/* columns.h: columns of windows added to an image. */
#ifndef OPS_COLUMNS_H_
#define OPS_COLUMNS_H_

#include "windows3.h"

/* Windows along an axis whose tap t lies in the image: from first up to end. */
static inline void windows_of(const window_axis *axis, int64_t t, int64_t count,
                              int64_t *first, int64_t *end) {
  int64_t place = t * axis->dilation - axis->begin, stride = axis->stride;
  *first = place < 0 ? (-place + stride - 1) / stride : 0;
  *end = place < axis->size ? (axis->size - place + stride - 1) / stride : 0;
  if (*end > count) *end = count;
}

/* Adds one tap of all blocks to a plane. */
static inline void add_tap(const window_axis *axes, const int64_t *tap,
                           const int64_t *count, const float *from,
                           float *plane) {
  int64_t first[SPATIAL], end[SPATIAL], begin[SPATIAL];
  for (int32_t i = 0; i < SPATIAL; ++i) {
    windows_of(&axes[i], tap[i], count[i], &first[i], &end[i]);
    begin[i] = tap[i] * axes[i].dilation - axes[i].begin;
  }
  for (int64_t z = first[0]; z < end[0]; ++z)
    for (int64_t y = first[1]; y < end[1]; ++y) {
      int64_t row = (begin[0] + z * axes[0].stride) * axes[1].size + begin[1] +
                    y * axes[1].stride;
      const float *columns = from + (z * count[1] + y) * count[2];
      float *to = plane + row * axes[2].size + begin[2];
      for (int64_t x = first[2]; x < end[2]; ++x)
        to[x * axes[2].stride] += columns[x];
    }
}

#endif /* OPS_COLUMNS_H_ */
