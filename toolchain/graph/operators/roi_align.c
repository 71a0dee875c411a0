/* roi_align.c: regions of images, sampled bilinearly, in cells.
 *
 * Samples that lie outside an image are 0. Of cells with many samples those are
 * not visited, so that the time follows from the tensors alone.
 */
#include "walk.h"

enum { X, ROIS, BATCH };
enum { MODE, HALF_PIXEL, HEIGHT, WIDTH, RATIO, SCALE };
#define MOST_SAMPLES 64
#define MOST_PIXELS 0x1p24f /* from here on float32 has no places between */

typedef struct {
  int32_t low, high;
  float below, above; /* weights of both */
} sample;

/* An axis of a region. */
typedef struct {
  float start, width; /* of a cell */
  int32_t count;      /* samples of a cell */
  int32_t size;       /* of the image */
  int32_t found;      /* samples of the cell in hand that are inside */
  sample *samples;
} region_axis;

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *rois = &call->tensors[ROIS];
  if (x->rank != 4)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "x must be [N, C, H, W]");
  if (rois->rank != 2 || rois->shape[1] != 4)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "rois must be [regions, 4]");
  int32_t code = ops_expect(call, BATCH, 1, rois->shape);
  int64_t out[] = {rois->shape[0], x->shape[1], ops_int(call, HEIGHT, 0),
                   ops_int(call, WIDTH, 0)};
  return code ? code : ops_set_shape(call, ops_output(call, 0), 4, out);
}

static float largest(float a, float b) { return a > b || a != a ? a : b; }

static region_axis axis_of(const ops_request *call, float low, float high,
                           int32_t cells, int32_t size) {
  float scale = (float)call->values[call->first[SCALE]].f;
  float half = ops_int(call, HALF_PIXEL, 0) ? 0.0f : 0.5f;
  float start = low * scale - half, length = (high * scale - half) - start;
  int32_t ratio = (int32_t)ops_int(call, RATIO, 0);
  if (half == 0 && !(length > 1) && length == length) length = 1;
  region_axis axis = {.start = start, .width = length / (float)cells};
  float pixels = __builtin_ceilf(axis.width);
  axis.size = size;
  axis.count = ratio                  ? ratio
               : !(pixels > 0)        ? 0
               : pixels < MOST_PIXELS ? (int32_t)pixels
                                      : (int32_t)MOST_PIXELS;
  return axis;
}

/* The sample at a place, or before it or behind it: roundings move samples by
 * less than 2^-20 of their number. */
static int32_t near(const region_axis *axis, float start, float place,
                    int32_t behind) {
  float count = (float)axis->count, step = axis->width / count;
  if (axis->count <= MOST_SAMPLES) return behind ? axis->count : 0;
  float exact = (place - start) / step - 0.5f;
  float more = 2 + __builtin_fabsf(exact) * 0x1p-20f;
  float at = behind ? exact + more : exact - more;
  return !(at < count) ? axis->count : at > 0 ? (int32_t)at : 0;
}

/* The samples of a cell that are inside the image. */
static void find(region_axis *axis, int32_t cell) {
  float start = axis->start + (float)cell * axis->width;
  float last = (float)(axis->size - 1), size = (float)axis->size;
  int32_t end = near(axis, start, size, 1);
  axis->found = 0;
  for (int32_t i = near(axis, start, -1, 0); i < end; ++i) {
    float point = start + ((float)i + 0.5f) * axis->width / (float)axis->count;
    if (!(point >= -1 && point <= size)) continue;
    float place = point < 0 ? 0 : point > last ? last : point;
    int32_t low = (int32_t)place, high = low + 1 < axis->size ? low + 1 : low;
    float above = place - (float)low;
    axis->samples[axis->found++] = (sample){low, high, 1 - above, above};
  }
}

static float fold(const float *plane, const region_axis *y,
                  const region_axis *x, int32_t max) {
  float total = max ? -__builtin_inff() : 0;
  float samples = (float)y->count * (float)x->count;
  for (int32_t i = 0; i < y->found; ++i) {
    sample v = y->samples[i];
    const float *low = plane + (int64_t)v.low * x->size;
    const float *high = plane + (int64_t)v.high * x->size;
    for (int32_t j = 0; j < x->found; ++j) {
      sample u = x->samples[j];
      float a = v.below * u.below * low[u.low];
      float b = v.below * u.above * low[u.high];
      float c = v.above * u.below * high[u.low];
      float d = v.above * u.above * high[u.high];
      if (max)
        total = largest(largest(largest(a, b), largest(c, d)), total);
      else
        total += ((a + b) + c) + d;
    }
  }
  if (!y->found || !x->found) return 0;
  if (!max) return total / samples;
  int32_t whole = y->found == y->count && x->found == x->count;
  return whole ? total : largest(total, 0);
}

static void region(const ops_request *call, int32_t r, int32_t image,
                   sample *samples) {
  const ops_tensor *x = &call->tensors[X];
  const ops_tensor *out = &call->tensors[call->inputs];
  const float *roi = (const float *)call->tensors[ROIS].data + 4 * (int64_t)r;
  int32_t channels = x->shape[1], rows = out->shape[2], columns = out->shape[3];
  int64_t plane = ops_product(x->shape, 2, 4);
  region_axis high = axis_of(call, roi[1], roi[3], rows, x->shape[2]);
  region_axis wide = axis_of(call, roi[0], roi[2], columns, x->shape[3]);
  const float *from = (const float *)x->data +
                      (int64_t)image * channels * plane;
  float *to = (float *)out->data + (int64_t)r * channels * rows * columns;
  high.samples = samples;
  for (int32_t i = 0; i < rows; ++i) {
    find(&high, i);
    wide.samples = samples + high.found;
    for (int32_t j = 0; j < columns; ++j) {
      find(&wide, j);
      for (int64_t c = 0; c < channels; ++c)
        to[(c * rows + i) * columns + j] = fold(
            from + c * plane, &high, &wide, (int32_t)ops_int(call, MODE, 0));
    }
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *batch = &call->tensors[BATCH];
  int32_t code = OPS_OK;
  for (int32_t r = 0; r < batch->count; ++r) {
    int64_t image = ((const int64_t *)batch->data)[r];
    if (image < 0 || image >= x->shape[0])
      return ops_fail(
          call, OPS_ERROR_ATTRIBUTE,
          "batch_indices[%d] is %l, outside the %d images of x; use "
          "0..%d",
          r, image, x->shape[0], x->shape[0] - 1);
  }
  if (!call->tensors[call->inputs].count) return code;
  /* More than MOST_SAMPLES are at least half a pixel apart. */
  int64_t most = 2 * ((int64_t)x->shape[2] + x->shape[3]) + 4 * MOST_SAMPLES;
  sample *samples = ops_workspace(call, most * (int64_t)sizeof *samples);
  if (!samples) return OPS_ERROR_MEMORY;
  for (int32_t r = 0; r < batch->count; ++r)
    region(call, r, (int32_t)((const int64_t *)batch->data)[r], samples);
  ops_release(samples);
  return code;
}

const ops_collapse ops_collapse_roi_align = {shape, run, 0};
