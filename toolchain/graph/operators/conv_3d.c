/* conv_3d.c: convolution of volumes.
 *
 * A group of channels is copied between zeros; then blocks of four features by
 * eight elements of a row add up channels and taps in registers.
 */
#include "blocks.h"
#include "walk.h"

enum { X, W, B };
enum { GROUP, V_STRIDES, V_PADS, V_DILATIONS };
enum { AXES = 3 };

typedef struct {
  int64_t size[AXES], taps[AXES], stride[AXES], dilation[AXES], begin[AXES];
  int64_t wide[AXES]; /* of the copy, with zeros around */
  int64_t out[AXES];
  int64_t channels, features; /* of a group */
  float *copy, *weights;      /* weights: [features / 4][channels][taps][4] */
} plan_type;

/* An entry of a list, or what empty lists stand for. */
static int64_t entry(const ops_request *call, int32_t list, int32_t a) {
  return call->length[list] ? ops_int(call, list, a) : list != V_PADS;
}

static int64_t pads(const ops_request *call, int32_t a) {
  return entry(call, V_PADS, a) + entry(call, V_PADS, AXES + a);
}

static int32_t check(const ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  int64_t group = ops_int(call, GROUP, 0), features = w->shape[0];
  if (x->rank != 5 || w->rank != 5)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "x and w must have rank 5");
  if (call->units && call->units != AXES)
    return ops_fail_got(call, OPS_ERROR_ARGUMENT,
                        "has lists for %d axes; pass lists for 3, or empty "
                        "ones",
                        call->units);
  if (w->shape[1] * group != x->shape[1] || features % group)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has %d channels and w %l in %l groups of %d "
                        "features; make them equal, and a multiple of group",
                        x->shape[1], w->shape[1] * group, group, w->shape[0]);
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  int32_t code = check(call);
  if (code) return code;
  int64_t out[2 + AXES] = {x->shape[0], w->shape[0]};
  for (int32_t a = 0; a < AXES; ++a) {
    int64_t room = x->shape[2 + a] + pads(call, a) - 1 -
                   entry(call, V_DILATIONS, a) * (w->shape[2 + a] - 1);
    if (room < 0 || w->shape[2 + a] < 1)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "w is longer than axis %d of x with its pads, or has "
                          "no taps; use more pads, or a smaller kernel",
                          2 + a);
    out[2 + a] = room / entry(call, V_STRIDES, a) + 1;
  }
  code = ops_set_shape(call, ops_output(call, 0), 2 + AXES, out);
  return code ? code : ops_expect(call, B, 1, w->shape);
}

static plan_type plan_of(const ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  plan_type plan = {.channels = w->shape[1],
                    .features = w->shape[0] / ops_int(call, GROUP, 0)};
  for (int32_t a = 0; a < AXES; ++a) {
    plan.size[a] = x->shape[2 + a];
    plan.taps[a] = w->shape[2 + a];
    plan.stride[a] = entry(call, V_STRIDES, a);
    plan.dilation[a] = entry(call, V_DILATIONS, a);
    plan.begin[a] = entry(call, V_PADS, a);
    plan.out[a] = call->tensors[call->inputs].shape[2 + a];
    plan.wide[a] = plan.size[a] + pads(call, a);
  }
  /* Blocks at the end of a row read past it. */
  int64_t blocks = (plan.out[2] + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
  int64_t read = (blocks * BLOCK_COLUMNS - 1) * plan.stride[2] + 1 +
                 (plan.taps[2] - 1) * plan.dilation[2];
  if (plan.wide[2] < read) plan.wide[2] = read;
  return plan;
}

/* Weights of a group, in the order in which they are used; zeros beyond. */
static void pack(const plan_type *plan, const float *w) {
  int64_t depth = plan->channels * plan->taps[0] * plan->taps[1] *
                  plan->taps[2];
  float *to = plan->weights;
  for (int64_t m = 0; m < plan->features; m += BLOCK_ROWS)
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t f = m; f < m + BLOCK_ROWS; ++f)
        *to++ = f < plan->features ? w[f * depth + k] : 0;
}

/* A row of the copy. */
static float *row_of(const plan_type *plan, int64_t c, int64_t z, int64_t y) {
  int64_t row = (c * plan->wide[0] + z) * plan->wide[1] + y;
  return plan->copy + row * plan->wide[2];
}

/* Channels between zeros, which are there already. */
static void copy(const plan_type *plan, const float *x) {
  uint32_t bytes = (uint32_t)plan->size[2] * 4;
  for (int64_t c = 0; c < plan->channels; ++c)
    for (int64_t z = 0; z < plan->size[0]; ++z)
      for (int64_t y = 0; y < plan->size[1]; ++y, x += plan->size[2])
        __builtin_memcpy(
            row_of(plan, c, z + plan->begin[0], y + plan->begin[1]) +
                plan->begin[2],
            x, bytes);
}

/* sums += w * a row of taps from `row` on. */
static inline const float *add_row(const plan_type *plan, ops_quad (*sums)[2],
                                   const float *w, const float *row) {
  int64_t step = plan->stride[2];
  for (int64_t t = 0; t < plan->taps[2]; ++t, w += BLOCK_ROWS) {
    const float *at = row + t * plan->dilation[2];
    float part[BLOCK_COLUMNS];
    for (int64_t i = 0; step > 1 && i < BLOCK_COLUMNS; ++i)
      part[i] = at[i * step];
    ops_block_add(sums, w, step > 1 ? part : at);
  }
  return w;
}

/* A block of the output at (z, y, x), from channels and taps. */
static void block(const plan_type *plan, const float *w, int64_t z, int64_t y,
                  int64_t x, ops_quad (*sums)[2]) {
  const int64_t *step = plan->stride, *gap = plan->dilation;
  for (int64_t c = 0; c < plan->channels; ++c)
    for (int64_t r = 0; r < plan->taps[0]; ++r)
      for (int64_t s = 0; s < plan->taps[1]; ++s)
        w = add_row(plan, sums, w,
                    row_of(plan, c, z * step[0] + r * gap[0],
                           y * step[1] + s * gap[1]) +
                        x * step[2]);
}

/* One group of one image; b is NULL where the bias is absent. */
static void convolve(const plan_type *plan, const float *b, float *out) {
  int64_t plane = plan->out[0] * plan->out[1] * plan->out[2];
  int64_t step = BLOCK_ROWS * plan->channels * plan->taps[0] * plan->taps[1] *
                 plan->taps[2];
  const float *w = plan->weights;
  for (int64_t m = 0; m < plan->features; m += BLOCK_ROWS, w += step) {
    int64_t rows = plan->features - m;
    if (rows > BLOCK_ROWS) rows = BLOCK_ROWS;
    for (int64_t i = 0; i < plan->out[0] * plan->out[1]; ++i)
      for (int64_t x = 0; x < plan->out[2]; x += BLOCK_COLUMNS) {
        ops_quad sums[BLOCK_ROWS][2] = {0};
        for (int64_t f = 0; b && f < rows; ++f)
          sums[f][0] = sums[f][1] =
              (ops_quad){b[m + f], b[m + f], b[m + f], b[m + f]};
        block(plan, w, i / plan->out[1], i % plan->out[1], x, sums);
        ops_block_store(sums, out + m * plane + i * plan->out[2] + x, plane,
                        rows, plan->out[2] - x);
      }
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  const ops_tensor *b = &call->tensors[B], *out = ops_output(call, 0);
  if (!out->count) return OPS_OK;
  plan_type plan = plan_of(call);
  int64_t groups = ops_int(call, GROUP, 0), images = x->shape[0];
  int64_t blocks = (plan.features + BLOCK_ROWS - 1) / BLOCK_ROWS;
  int64_t weights = blocks * BLOCK_ROWS * ops_product(w->shape, 1, 5);
  int64_t volume = plan.channels;
  for (int32_t a = 0; a < AXES; ++a) volume = ops_times(volume, plan.wide[a]);
  plan.copy = ops_workspace(call, (volume + weights) * 4);
  if (!plan.copy) return OPS_ERROR_MEMORY;
  plan.weights = plan.copy + volume;
  __builtin_memset(plan.copy, 0, (uint32_t)volume * 4);
  int64_t outputs = plan.features * ops_product(out->shape, 2, 5);
  int64_t inputs = plan.channels * ops_product(x->shape, 2, 5);
  for (int64_t g = 0; g < groups; ++g) {
    pack(&plan, (const float *)w->data +
                    g * plan.features * ops_product(w->shape, 1, 5));
    const float *bias = b->absent ? 0
                                  : (const float *)b->data + g * plan.features;
    for (int64_t n = 0; n < images; ++n) {
      copy(&plan, (const float *)x->data + (n * groups + g) * inputs);
      convolve(&plan, bias, (float *)out->data + (n * groups + g) * outputs);
    }
  }
  ops_release(plan.copy);
  return OPS_OK;
}

const ops_collapse ops_collapse_conv_3d = {shape, run, 0};
