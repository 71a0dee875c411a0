/* pool_last.c: windows of images whose channels are last: a loop over them is
 * innermost, so that vectors hold channels.
 */
#include "call.h"

enum { MAXIMUM, MEAN, MEAN_PADDED };

/* Attributes by their places. */
enum { KIND, CEIL_MODE, KERNEL_SHAPE, STRIDES, PADS, DILATIONS };

/* An axis of the image. */
typedef struct {
  int64_t size, windows, taps, stride, dilation, before, after;
} window_axis;

typedef struct {
  window_axis axes[2];
  const float *x;
  float *out;
  int64_t images, channels;
  int32_t kind;
} pool_plan;

static int32_t set_axis(const ops_request *call, int32_t i, window_axis *axis) {
  axis->size = call->tensors[0].shape[1 + i];
  axis->taps = ops_int(call, KERNEL_SHAPE, i);
  axis->stride = ops_int(call, STRIDES, i);
  axis->dilation = ops_int(call, DILATIONS, i);
  axis->before = ops_int(call, PADS, i);
  axis->after = ops_int(call, PADS, i + 2);
  int64_t reach = (axis->taps - 1) * axis->dilation + 1;
  int64_t room = axis->size + axis->before + axis->after - reach;
  if (room < 0 || axis->before >= reach || axis->after >= reach)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "windows of %l elements do not fit axis %d of x with "
                        "pads %l and %l",
                        reach, i + 1, axis->before, axis->after);
  int32_t up = ops_int(call, CEIL_MODE, 0) != 0;
  axis->windows = (room + (up ? axis->stride - 1 : 0)) / axis->stride + 1;
  if (up && (axis->windows - 1) * axis->stride >= axis->size + axis->before)
    --axis->windows;
  return OPS_OK;
}

static int32_t set_axes(const ops_request *call, window_axis *axes) {
  const ops_tensor *x = &call->tensors[0];
  if (x->rank != 4 || call->units != 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has rank %d and lists have %d entries; use 4 and 2",
                        (int32_t)x->rank, call->units);
  int32_t code = set_axis(call, 0, &axes[0]);
  return code ? code : set_axis(call, 1, &axes[1]);
}

static int32_t shape(ops_request *call) {
  const int32_t *x = call->tensors[0].shape;
  window_axis axes[2];
  int32_t code = set_axes(call, axes);
  if (code) return code;
  int64_t sizes[] = {x[0], axes[0].windows, axes[1].windows, x[3]};
  return ops_set_shape(call, &call->tensors[1], 4, sizes);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = &call->tensors[1];
  if (!out->count) return OPS_OK;
  pool_plan plan = {.x = (const float *)(const void *)x->data,
                    .out = (float *)(void *)out->data,
                    .images = x->shape[0],
                    .channels = x->shape[3],
                    .kind = (int32_t)ops_int(call, KIND, 0)};
  int32_t code = set_axes(call, plan.axes);
  ops_slot slots[] = {{.p = &plan}};
  return code ? code : ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_pool_last = {shape, run, 0};

/* The taps of window i that lie in the image, and how many in the padded one.
 */
typedef struct {
  int64_t first, end, padded;
} taps;

static taps taps_of(const window_axis *axis, int64_t i) {
  int64_t start = i * axis->stride - axis->before, step = axis->dilation;
  int64_t first = start < 0 ? (-start + step - 1) / step : 0;
  int64_t end = start < axis->size ? (axis->size - start + step - 1) / step : 0;
  int64_t all = (axis->size + axis->after - start + step - 1) / step;
  taps found = {first, end < axis->taps ? end : axis->taps,
                all < axis->taps ? all : axis->taps};
  return found;
}

static void fold(float *restrict out, const float *restrict x, int64_t count,
                 int32_t kind, int32_t first) {
  if (first) {
    for (int64_t c = 0; c < count; ++c) out[c] = x[c];
  } else if (kind == MAXIMUM) { /* a NaN stays, and wins */
    for (int64_t c = 0; c < count; ++c) {
      float a = out[c], b = x[c];
      out[c] = b > a || b != b ? b : a;
    }
  } else {
    for (int64_t c = 0; c < count; ++c) out[c] += x[c];
  }
}

static void one_window(const pool_plan *plan, const float *image, taps rows,
                       taps columns, int64_t y, int64_t x, float *out) {
  const window_axis *axes = plan->axes;
  int64_t channels = plan->channels, none = 1;
  for (int64_t r = rows.first; r < rows.end; ++r) {
    int64_t at = (y + r * axes[0].dilation) * axes[1].size + x;
    for (int64_t s = columns.first; s < columns.end; ++s, none = 0)
      fold(out, image + (at + s * axes[1].dilation) * channels, channels,
           plan->kind, (int32_t)none);
  }
  int64_t count = plan->kind == MEAN_PADDED
                      ? rows.padded * columns.padded
                      : (rows.end - rows.first) * (columns.end - columns.first);
  float empty = plan->kind == MAXIMUM ? -__builtin_inff() : 0;
  if (none)
    for (int64_t c = 0; c < channels; ++c) out[c] = empty;
  if (plan->kind != MAXIMUM && count > 0)
    for (int64_t c = 0; c < channels; ++c) out[c] /= (float)count;
}

int32_t kernel_pool_last_float32(const ops_slot *slots) {
  const pool_plan *plan = slots[0].p;
  const window_axis *axes = plan->axes;
  float *out = plan->out;
  for (int64_t n = 0; n < plan->images; ++n) {
    const float *image = plan->x +
                         n * axes[0].size * axes[1].size * plan->channels;
    for (int64_t i = 0; i < axes[0].windows; ++i) {
      taps rows = taps_of(&axes[0], i);
      for (int64_t j = 0; j < axes[1].windows; ++j, out += plan->channels)
        one_window(plan, image, rows, taps_of(&axes[1], j),
                   i * axes[0].stride - axes[0].before,
                   j * axes[1].stride - axes[1].before, out);
    }
  }
  return 0;
}
