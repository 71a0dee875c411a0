/* windows3.h: windows that slide over one to three spatial axes.
 *
 * Tensors are [N, C, axes...]; with fewer than three axes, axes of size 1 come
 * in front. The operator's first attributes are ceil_mode, kernel_shape,
 * strides, pads and dilations.
 */
#ifndef OPS_WINDOWS3_H_
#define OPS_WINDOWS3_H_

#include "walk.h"

enum { CEIL_MODE, KERNEL_SHAPE, STRIDES, PADS, DILATIONS, WINDOWS_OWN };
#define SPATIAL 3

typedef struct {
  int64_t size, taps, stride, dilation, begin, end;
} window_axis;

typedef struct {
  int32_t spatial; /* axes that the tensor has */
  window_axis axes[SPATIAL];
} window_axes;

/* Axes of x by the attributes; fails where lists have no entry for each. */
static inline int32_t ops_window_axes(const ops_request *call,
                                      window_axes *windows) {
  const ops_tensor *x = &call->tensors[0];
  int32_t spatial = x->rank - 2, units = call->units;
  windows->spatial = spatial;
  if (spatial < 1 || spatial > SPATIAL)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "%s has rank %d but must have 3 to %d", x->name,
                        (int32_t)x->rank, SPATIAL + 2);
  if (units != spatial)
    return ops_fail_got(call, OPS_ERROR_ARGUMENT,
                        "has lists for %d axes but %s has %d spatial ones; "
                        "pass lists for those",
                        units, x->name, spatial);
  for (int32_t i = 0; i < SPATIAL; ++i) {
    int32_t a = i - (SPATIAL - spatial);
    windows->axes[i] = (window_axis){1, 1, 1, 1, 0, 0};
    if (a < 0) continue;
    windows->axes[i] = (window_axis){
        x->shape[2 + a],           ops_int(call, KERNEL_SHAPE, a),
        ops_int(call, STRIDES, a), ops_int(call, DILATIONS, a),
        ops_int(call, PADS, a),    ops_int(call, PADS, units + a)};
  }
  return OPS_OK;
}

/* Elements from a window's first tap to its last, less one. */
static inline int64_t ops_window_reach(const window_axis *axis) {
  return axis->dilation * (axis->taps - 1);
}

/* Windows along an axis; below 0 where none fits. */
static inline int64_t ops_window_count(const window_axis *axis,
                                       int64_t ceil_mode) {
  int64_t room = axis->size + axis->begin + axis->end - ops_window_reach(axis) -
                 1;
  if (room < 0) return -1;
  int64_t count = (ceil_mode ? room + axis->stride - 1 : room) / axis->stride;
  /* The last window begins in x or in the pads before it. */
  return ceil_mode && count * axis->stride >= axis->size + axis->begin
             ? count
             : count + 1;
}

/* The shape of an output: windows for each axis. */
static inline int32_t ops_window_shape(ops_request *call,
                                       const window_axes *windows,
                                       ops_tensor *output) {
  int64_t shape[2 + SPATIAL];
  int32_t first = SPATIAL - windows->spatial;
  for (int32_t i = 0; i < 2; ++i) shape[i] = call->tensors[0].shape[i];
  for (int32_t i = first; i < SPATIAL; ++i) {
    int64_t count =
        ops_window_count(&windows->axes[i], ops_int(call, CEIL_MODE, 0));
    if (count < 0)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "a window is longer than axis %d of %s with its "
                          "pads; make kernel_shape smaller",
                          2 + i - first, call->tensors[0].name);
    shape[2 + i - first] = count;
  }
  return ops_set_shape(call, output, 2 + windows->spatial, shape);
}

/* Taps of window i that lie inside x: from first up to end; where tap 0 is. */
typedef struct {
  int64_t start, first, end;
} window_taps;

static inline window_taps ops_window_taps(const window_axis *axis, int64_t i) {
  window_taps taps = {i * axis->stride - axis->begin, 0, 0};
  int64_t d = axis->dilation, after = axis->size - taps.start;
  if (taps.start < 0) taps.first = (-taps.start + d - 1) / d;
  if (after > 0) taps.end = (after + d - 1) / d;
  if (taps.end > axis->taps) taps.end = axis->taps;
  return taps;
}

/* Sizes of an output's spatial axes, three of them. */
static inline void ops_window_sizes(const ops_tensor *output, int32_t *sizes) {
  int32_t first = SPATIAL - (output->rank - 2);
  for (int32_t i = 0; i < SPATIAL; ++i)
    sizes[i] = i < first ? 1 : output->shape[2 + i - first];
}

/* What a window is folded by: places of its elements in a plane of x. */
#define EACH_TAP(axes, taps, place)                                      \
  for (int64_t z_ = taps[0].first; z_ < taps[0].end; ++z_)               \
    for (int64_t y_ = taps[1].first; y_ < taps[1].end; ++y_)             \
      for (int64_t x_ = taps[2].first,                                   \
                   row_ = ((taps[0].start + z_ * axes[0].dilation) *     \
                               axes[1].size +                            \
                           taps[1].start + y_ * axes[1].dilation) *      \
                          axes[2].size,                                  \
                   place = row_ + taps[2].start + x_ * axes[2].dilation; \
           x_ < taps[2].end; ++x_, place += axes[2].dilation)

/* Windows of a plane in order: `taps` are those of the next one. */
#define EACH_WINDOW(axes, sizes, taps)                              \
  for (int32_t z = 0; z < sizes[0]; ++z)                            \
    for (int32_t y = (taps[0] = ops_window_taps(&axes[0], z), 0);   \
         y < sizes[1]; ++y)                                         \
      for (int32_t x = (taps[1] = ops_window_taps(&axes[1], y), 0); \
           x < sizes[2] && (taps[2] = ops_window_taps(&axes[2], x), 1); ++x)

#endif /* OPS_WINDOWS3_H_ */
