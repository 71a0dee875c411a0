/* quantized_conv.c: convolutions of images of 8-bit integers, channels last:
 * the elements of a window, tap by tap, are a row of a product. */
#include "eight_images.h"
#include "eight_panels.h"

typedef struct {
  eight_axis axes[2];
  int64_t channels;
} conv_plan;

static int32_t shape(ops_request *call) {
  eight_axis axes[2];
  int32_t code = eight_axes(call, axes);
  if (code) return code;
  int64_t taps = axes[0].taps * axes[1].taps;
  code = eight_check_panels(call, taps * call->tensors[IN_X].shape[3]);
  return code ? code : eight_image_shape(call, axes);
}

static int16_t *fill(int16_t *to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) *to++ = 0;
  return to;
}

/* Taps of a row of a window that begins at column `start`, which may lie beside
 * the image; where they follow one another, all at once. */
static int16_t *put_row(const eight_rows *rows, const uint8_t *row,
                        int64_t start, int16_t *to) {
  const conv_plan *plan = rows->plan;
  const eight_axis *axis = &plan->axes[1];
  int64_t channels = plan->channels;
  if (axis->dilation == 1) {
    int64_t first = start < 0 ? -start : 0, end = axis->size - start;
    if (end > axis->taps) end = axis->taps;
    if (first >= end) return fill(to, axis->taps * channels);
    to = fill(to, first * channels);
    int64_t count = (end - first) * channels;
    eight_widen(rows->source, row + (start + first) * channels, count, to);
    return fill(to + count, (axis->taps - end) * channels);
  }
  for (int64_t s = 0; s < axis->taps; ++s, start += axis->dilation) {
    if (start < 0 || start >= axis->size)
      fill(to, channels);
    else
      eight_widen(rows->source, row + start * channels, channels, to);
    to += channels;
  }
  return to;
}

static void gather_windows(const eight_rows *rows, int64_t first, int64_t count,
                           int16_t *to) {
  const conv_plan *plan = rows->plan;
  const eight_axis *down = &plan->axes[0], *across = &plan->axes[1];
  int64_t row = across->size * plan->channels;
  int32_t line = (int32_t)first / (int32_t)across->windows;
  int32_t image = line / (int32_t)down->windows;
  int64_t x = first - line * across->windows;
  int64_t y = line - image * down->windows;
  for (int64_t i = 0; i < count; ++i, ++x) {
    if (x == across->windows) x = 0, ++y;
    if (y == down->windows) y = 0, ++image;
    const uint8_t *from = rows->x + image * down->size * row;
    int64_t start = x * across->stride - across->before;
    int64_t at = y * down->stride - down->before;
    for (int64_t r = 0; r < down->taps; ++r, at += down->dilation)
      to = at < 0 || at >= down->size
               ? fill(to, across->taps * plan->channels)
               : put_row(rows, from + at * row, start, to);
    to = fill(to, rows->depth - rows->length);
  }
}

/* Whether windows are the pixels themselves, in order. */
static int32_t is_plain(const eight_axis *axis) {
  return axis->taps == 1 && axis->stride == 1 && axis->windows == axis->size &&
         !axis->before;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[IN_X], *out = ops_output(call, 0);
  conv_plan plan = {.channels = x->shape[3]};
  int32_t code = eight_axes(call, plan.axes);
  if (code) return code;
  int32_t plain = is_plain(&plan.axes[0]) && is_plain(&plan.axes[1]);
  int64_t length = plan.axes[0].taps * plan.axes[1].taps * plan.channels;
  eight_rows rows = {.gather = plain ? eight_gather : gather_windows,
                     .source = eight_source_of(call),
                     .x = x->data,
                     .count = ops_product(out->shape, 0, 3),
                     .length = length,
                     .depth = (length + 1) / 2 * 2,
                     .plan = &plan};
  return eight_multiply(call, &rows);
}

const ops_collapse ops_collapse_quantized_conv = {shape, run, 0};
