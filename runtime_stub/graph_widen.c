/* graph_widen.c: weights of 16 bits become floats, before the first run.
 *
 * Only models that have some link it.
 */
#include "graph.h"

typedef union {
  uint32_t bits;
  float number;
} word;

/* The exponent moves from 5 bits to 8 by a product, which is exact for
 * denormals too; infinities and NaN get theirs after it. */
static float widened(uint32_t half) {
  word found = {(half & 0x7fff) << 13};
  found.number *= 0x1p112f;
  if ((half & 0x7c00) == 0x7c00) found.bits |= 0x7f800000;
  found.bits |= (half & 0x8000) << 16;
  return found.number;
}

int32_t ops_graph_widen(const ops_model *model) {
  ops_frame *frame = model->frame;
  if (frame->widened == frame->weights) return 0;
  for (uint32_t i = 0; i < model->half_count; ++i) {
    const ops_graph_half *half = &model->halves[i];
    const uint16_t *from =
        (const uint16_t *)(const void *)(frame->weights + half->offset);
    word *to = (word *)(void *)half->to;
    if (half->brain)
      for (uint32_t k = 0; k < half->count; ++k)
        to[k].bits = (uint32_t)from[k] << 16;
    else
      for (uint32_t k = 0; k < half->count; ++k)
        to[k].number = widened(from[k]);
  }
  frame->widened = frame->weights;
  return 0;
}
