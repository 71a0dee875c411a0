/* col2im.c: columns of blocks back into images, where blocks overlap added up.
 */
#include "columns.h"

enum {
  IMAGE_SHAPE,
  BLOCK_SHAPE,
  COLUMN_STRIDES,
  COLUMN_PADS,
  COLUMN_DILATIONS
};

static window_axes axes_of(const ops_request *call) {
  window_axes windows = {.spatial = call->units};
  for (int32_t i = 0; i < SPATIAL; ++i) {
    int32_t a = i - (SPATIAL - call->units);
    windows.axes[i] = (window_axis){1, 1, 1, 1, 0, 0};
    if (a >= 0)
      windows.axes[i] =
          (window_axis){ops_int(call, IMAGE_SHAPE, a),
                        ops_int(call, BLOCK_SHAPE, a),
                        ops_int(call, COLUMN_STRIDES, a),
                        ops_int(call, COLUMN_DILATIONS, a),
                        ops_int(call, COLUMN_PADS, a),
                        ops_int(call, COLUMN_PADS, call->units + a)};
  }
  return windows;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int64_t out[2 + SPATIAL] = {0}, taps = 1, blocks = 1;
  if (call->units < 1 || call->units > SPATIAL)
    return ops_fail_got(call, OPS_ERROR_ARGUMENT,
                        "has lists for %d axes; give them for 1 to %d",
                        call->units, SPATIAL);
  window_axes windows = axes_of(call);
  for (int32_t i = 0; i < SPATIAL; ++i) {
    int64_t count = ops_window_count(&windows.axes[i], 0);
    if (count < 0)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "a block is longer than axis %d of the image with "
                          "its pads; make block_shape smaller",
                          i - (SPATIAL - call->units));
    taps = ops_times(taps, windows.axes[i].taps);
    blocks = ops_times(blocks, count);
    int32_t at = 2 + i - (SPATIAL - call->units);
    if (at >= 2) out[at] = windows.axes[i].size;
  }
  if (x->rank != 3 || x->shape[1] % taps || x->shape[2] != blocks)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x must be [N, a multiple of %l, %l], by the %l taps "
                        "and %l blocks of an image",
                        taps, blocks, taps, blocks);
  out[0] = x->shape[0];
  out[1] = x->shape[1] / taps;
  return ops_set_shape(call, ops_output(call, 0), 2 + call->units, out);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  window_axes windows = axes_of(call);
  const window_axis *axes = windows.axes;
  int64_t count[SPATIAL], blocks = x->shape[2], tap[SPATIAL];
  int64_t size = ops_product(out->shape, 2, out->rank);
  for (int32_t i = 0; i < SPATIAL; ++i)
    count[i] = ops_window_count(&axes[i], 0);
  const float *from = (const float *)x->data;
  float *plane = (float *)out->data;
  __builtin_memset(plane, 0, (uint32_t)out->bytes);
  for (int64_t at = 0; at < out->count && x->count; at += size, plane += size)
    for (tap[0] = 0; tap[0] < axes[0].taps; ++tap[0])
      for (tap[1] = 0; tap[1] < axes[1].taps; ++tap[1])
        for (tap[2] = 0; tap[2] < axes[2].taps; ++tap[2], from += blocks)
          add_tap(axes, tap, count, from, plane);
  return OPS_OK;
}

const ops_collapse ops_collapse_col2im = {shape, run, 0};
