/* conv_transpose.c: the gradient of a convolution: every element of x adds the
 * kernel, times it, to the image.
 *
 * For four features and a tap at a time: a product over channels for all
 * elements of x, which is then added where the tap is.
 */
#include "blocks.h"
#include "columns.h"

enum { X, W, B };
enum { GROUP, T_STRIDES, T_PADS, T_DILATIONS, T_OUTPUT_PADDING };

typedef struct {
  window_axis axes[SPATIAL];  /* size: of the image */
  int64_t count[SPATIAL];     /* elements of x along each */
  int64_t channels, features; /* of a group */
  int64_t taps, length;       /* of the kernel; elements of a plane of x */
  int64_t size;               /* of a plane of the image */
  float *weights;             /* [features / 4][taps][channels][4] */
  float *rows;                /* [4][length] */
} plan_type;

/* An entry of a list, or what empty lists stand for. */
static int64_t entry(const ops_request *call, int32_t list, int32_t a) {
  if (call->length[list]) return ops_int(call, list, a);
  return list == T_STRIDES || list == T_DILATIONS;
}

static int64_t axis_size(const ops_request *call, int32_t a) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  int64_t reach = entry(call, T_DILATIONS, a) * (w->shape[2 + a] - 1) + 1;
  return ((int64_t)x->shape[2 + a] - 1) * entry(call, T_STRIDES, a) + reach +
         entry(call, T_OUTPUT_PADDING, a) - entry(call, T_PADS, a) -
         entry(call, T_PADS, call->units + a);
}

static int32_t check(const ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  int64_t group = ops_int(call, GROUP, 0);
  if (x->rank < 3 || x->rank > 2 + SPATIAL || w->rank != x->rank)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x and w must have one rank, 3 to %d", 2 + SPATIAL);
  if (call->units && call->units != x->rank - 2)
    return ops_fail_got(call, OPS_ERROR_ARGUMENT,
                        "has lists for %d axes but x has %d spatial ones; pass "
                        "lists for those, or empty ones",
                        call->units, x->rank - 2);
  if (w->shape[0] != x->shape[1] || x->shape[1] % group)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "axis 0 of w has size %d, but x has %d channels in %l "
                        "groups; make them equal, and a multiple of group",
                        w->shape[0], x->shape[1], group);
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  int32_t code = check(call);
  if (code) return code;
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  int64_t features = ops_int(call, GROUP, 0) * w->shape[1];
  int64_t out[2 + SPATIAL] = {x->shape[0], features};
  for (int32_t a = 0; a < x->rank - 2; ++a) {
    out[2 + a] = axis_size(call, a);
    if (out[2 + a] < 0 || w->shape[2 + a] < 1)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "axis %d of out would have size %l; use fewer pads, "
                          "or a kernel with taps",
                          2 + a, out[2 + a]);
  }
  code = ops_set_shape(call, ops_output(call, 0), x->rank, out);
  int32_t bias = (int32_t)features;
  return code ? code : ops_expect(call, B, 1, &bias);
}

static plan_type plan_of(const ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *w = &call->tensors[W];
  const ops_tensor *out = &call->tensors[call->inputs];
  int64_t group = ops_int(call, GROUP, 0);
  plan_type plan = {.channels = x->shape[1] / group,
                    .features = w->shape[1],
                    .taps = ops_product(w->shape, 2, w->rank),
                    .length = ops_product(x->shape, 2, x->rank),
                    .size = ops_product(out->shape, 2, out->rank)};
  for (int32_t i = 0; i < SPATIAL; ++i) {
    int32_t a = i - (SPATIAL - (x->rank - 2));
    plan.axes[i] = (window_axis){1, 1, 1, 1, 0, 0};
    plan.count[i] = a < 0 ? 1 : x->shape[2 + a];
    if (a < 0) continue;
    plan.axes[i] =
        (window_axis){out->shape[2 + a],         w->shape[2 + a],
                      entry(call, T_STRIDES, a), entry(call, T_DILATIONS, a),
                      entry(call, T_PADS, a),    0};
  }
  return plan;
}

/* Weights of a group, in the order in which they are used; zeros beyond. */
static void pack(const plan_type *plan, const float *w) {
  float *to = plan->weights;
  for (int64_t m = 0; m < plan->features; m += BLOCK_ROWS)
    for (int64_t t = 0; t < plan->taps; ++t)
      for (int64_t c = 0; c < plan->channels; ++c)
        for (int64_t f = m; f < m + BLOCK_ROWS; ++f)
          *to++ = f < plan->features
                      ? w[(c * plan->features + f) * plan->taps + t]
                      : 0;
}

/* rows[f] = sum_c w[c, f] x[c], for four features and all elements of x. */
static void multiply(const plan_type *plan, const float *w, const float *x) {
  int64_t length = plan->length;
  for (int64_t i = 0; i < length; i += BLOCK_COLUMNS) {
    ops_quad sums[BLOCK_ROWS][2] = {0};
    int64_t count = length - i;
    if (count >= BLOCK_COLUMNS)
      for (int64_t c = 0; c < plan->channels; ++c)
        ops_block_add(sums, w + c * BLOCK_ROWS, x + c * length + i);
    else
      for (int64_t c = 0; c < plan->channels; ++c) {
        float part[BLOCK_COLUMNS] = {0};
        __builtin_memcpy(part, x + c * length + i, (uint32_t)count * 4);
        ops_block_add(sums, w + c * BLOCK_ROWS, part);
      }
    ops_block_store(sums, plan->rows + i, length, BLOCK_ROWS, count);
  }
}

/* One group of one image; b is NULL where the bias is absent. */
static void transpose(const plan_type *plan, const float *x, const float *b,
                      float *out) {
  const float *w = plan->weights;
  int64_t tap[SPATIAL], step = plan->channels * BLOCK_ROWS;
  for (int64_t m = 0; m < plan->features; m += BLOCK_ROWS) {
    int64_t rows = plan->features - m;
    if (rows > BLOCK_ROWS) rows = BLOCK_ROWS;
    for (int64_t f = 0; f < rows; ++f)
      for (int64_t i = 0; i < plan->size; ++i)
        out[(m + f) * plan->size + i] = b ? b[m + f] : 0;
    for (tap[0] = 0; tap[0] < plan->axes[0].taps; ++tap[0])
      for (tap[1] = 0; tap[1] < plan->axes[1].taps; ++tap[1])
        for (tap[2] = 0; tap[2] < plan->axes[2].taps; ++tap[2], w += step) {
          multiply(plan, w, x);
          for (int64_t f = 0; f < rows; ++f)
            add_tap(plan->axes, tap, plan->count, plan->rows + f * plan->length,
                    out + (m + f) * plan->size);
        }
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[X], *b = &call->tensors[B];
  const ops_tensor *out = ops_output(call, 0);
  if (!out->count) return OPS_OK;
  plan_type plan = plan_of(call);
  int64_t groups = ops_int(call, GROUP, 0), images = x->shape[0];
  int64_t blocks = (plan.features + BLOCK_ROWS - 1) / BLOCK_ROWS;
  int64_t floats = blocks * plan.taps * plan.channels * BLOCK_ROWS;
  plan.weights = ops_workspace(call, (floats + plan.length * BLOCK_ROWS) * 4);
  if (!plan.weights) return OPS_ERROR_MEMORY;
  plan.rows = plan.weights + floats;
  int64_t inputs = plan.channels * plan.length;
  int64_t outputs = plan.features * plan.size;
  for (int64_t g = 0; g < groups; ++g) {
    pack(&plan, (const float *)call->tensors[W].data +
                    g * plan.channels * plan.features * plan.taps);
    const float *bias = b->absent ? 0
                                  : (const float *)b->data + g * plan.features;
    for (int64_t n = 0; n < images; ++n)
      transpose(&plan, (const float *)x->data + (n * groups + g) * inputs, bias,
                (float *)out->data + (n * groups + g) * outputs);
  }
  ops_release(plan.weights);
  return OPS_OK;
}

const ops_collapse ops_collapse_conv_transpose = {shape, run, 0};
