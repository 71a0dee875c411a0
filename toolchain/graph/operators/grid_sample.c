/* grid_sample.c: images sampled at places that a grid names. */
#include "walk.h"

enum { X, GRID };
enum { MODE, PADDING, CORNERS };
enum { LINEAR, NEAREST, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *grid = &call->tensors[GRID];
  int32_t rank = x->rank, last = rank - 1;
  int64_t out[OPS_MAX_RANK] = {x->shape[0], x->shape[1]};
  if (rank != 4 && rank != 5)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x must be [N, C, H, W] or [N, C, D, H, W]");
  if (grid->rank != rank || grid->shape[0] != x->shape[0] ||
      grid->shape[last] != rank - 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "grid must be [N, places..., %d], with N and as many "
                        "axes as x",
                        rank - 2);
  if (grid->count && !ops_product(x->shape, 2, rank))
    return ops_fail_got(call, OPS_ERROR_SHAPE, "images of x have no pixels");
  if (rank == 5 && ops_int(call, MODE, 0) == CUBIC)
    return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                    "mode cubic takes images, not volumes; use linear");
  for (int32_t i = 1; i < last; ++i) out[i + 1] = grid->shape[i];
  return ops_set_shape(call, ops_output(call, 0), rank, out);
}

/* A place of the grid, from -1 to 1, in pixels. */
static float pixel(float place, int32_t size, int64_t corners) {
  return corners ? (place + 1) / 2 * (float)(size - 1)
                 : ((place + 1) * (float)size - 1) / 2;
}

/* A place inside [low, high], mirrored at its ends. */
static float reflect(float place, float low, float high) {
  float range = high - low;
  if (!(range > 0)) return low;
  float away = __builtin_fabsf(place - low);
  float turns = __builtin_floorf(away / range);
  float rest = away - turns * range;
  float half = turns / 2;
  return half == __builtin_floorf(half) ? low + rest : high - rest;
}

/* A place as padding has it; it may be NaN. */
static float inside(const ops_request *call, float place, int32_t size) {
  int64_t corners = ops_int(call, CORNERS, 0);
  float last = (float)(size - 1);
  if (ops_int(call, PADDING, 0) == REFLECTION)
    place = corners ? reflect(place, 0, last)
                    : reflect(place, -0.5f, last + 0.5f);
  if (ops_int(call, PADDING, 0) != ZEROS)
    place = place < 0 ? 0 : place > last ? last : place;
  return place;
}

/* Pixels of an axis around a place, with their weights; how many. */
typedef struct {
  int32_t at[4]; /* -1: outside, where x is 0 */
  float weight[4];
} around;

static void set(const ops_request *call, around *found, int32_t i, float at,
                int32_t size) {
  if (ops_int(call, MODE, 0) == CUBIC) at = inside(call, at, size);
  found->at[i] = at >= 0 && at < (float)size ? (int32_t)at : -1;
}

/* Weights of Keys' cubic, a = -3/4, around a place t behind the second. */
static void cubic(float t, float *weight) {
  const float a = -0.75f;
  float u = 1 - t, s = t + 1, r = u + 1;
  weight[0] = ((a * s - 5 * a) * s + 8 * a) * s - 4 * a;
  weight[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
  weight[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
  weight[3] = ((a * r - 5 * a) * r + 8 * a) * r - 4 * a;
}

static int32_t find(const ops_request *call, float place, int32_t size,
                    around *found) {
  int64_t mode = ops_int(call, MODE, 0);
  place = pixel(place, size, ops_int(call, CORNERS, 0));
  if (mode != CUBIC) place = inside(call, place, size);
  if (mode == NEAREST) {
    set(call, found, 0, __builtin_rintf(place), size);
    found->weight[0] = 1;
    return 1;
  }
  float low = __builtin_floorf(place), rest = place - low;
  if (mode == CUBIC) {
    cubic(rest, found->weight);
    for (int32_t i = 0; i < 4; ++i)
      set(call, found, i, low + (float)(i - 1), size);
    return 4;
  }
  found->weight[0] = 1 - rest;
  found->weight[1] = rest;
  set(call, found, 0, low, size);
  set(call, found, 1, low + 1, size);
  return 2;
}

static float row_of(const float *row, const around *x, int32_t count) {
  float total = 0;
  for (int32_t j = 0; j < count; ++j)
    if (x->at[j] >= 0) total += row[x->at[j]] * x->weight[j];
  return total;
}

static float value_of(const float *plane, const around *y, const around *x,
                      int32_t count, int32_t width) {
  float total = 0;
  for (int32_t i = 0; i < count; ++i)
    if (y->at[i] >= 0)
      total += row_of(plane + (int64_t)y->at[i] * width, x, count) *
               y->weight[i];
  return total;
}

/* Pixels around a place of the grid, along the axes of a volume. */
typedef struct {
  around axes[3]; /* depth, height, width; an image has depth 1 */
  int32_t count;  /* along height and width */
  int32_t depth;  /* along depth */
} region;

static region find_all(const ops_request *call, const float *grid,
                       const int32_t *sizes, int32_t volume) {
  region found;
  found.axes[0] = (around){{0}, {1}};
  found.depth = volume ? find(call, grid[2], sizes[0], &found.axes[0]) : 1;
  find(call, grid[1], sizes[1], &found.axes[1]);
  found.count = find(call, grid[0], sizes[2], &found.axes[2]);
  return found;
}

static float sample(const float *x, const region *at, const int32_t *sizes) {
  const around *z = &at->axes[0];
  int64_t plane = (int64_t)sizes[1] * sizes[2];
  float total = 0;
  for (int32_t i = 0; i < at->depth; ++i)
    if (z->at[i] >= 0)
      total += z->weight[i] * value_of(x + z->at[i] * plane, &at->axes[1],
                                       &at->axes[2], at->count, sizes[2]);
  return total;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *out = ops_output(call, 0);
  int32_t volume = x->rank == 5, axes = x->rank - 2, channels = x->shape[1];
  const int32_t *last = &x->shape[x->rank - 3];
  int32_t sizes[3] = {volume ? last[0] : 1, last[1], last[2]};
  int64_t size = ops_product(x->shape, 2, x->rank);
  int64_t places = ops_product(out->shape, 2, out->rank);
  const float *from = (const float *)x->data;
  const float *grid = (const float *)call->tensors[GRID].data;
  float *to = (float *)out->data;
  if (!out->count) return OPS_OK;
  for (int32_t n = 0; n < x->shape[0]; ++n, from += channels * size) {
    for (int64_t i = 0; i < places; ++i, grid += axes) {
      region at = find_all(call, grid, sizes, volume);
      for (int64_t c = 0; c < channels; ++c)
        to[c * places + i] = sample(from + c * size, &at, sizes);
    }
    to += channels * places;
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_grid_sample = {shape, run, 0};
