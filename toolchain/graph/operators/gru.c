/* gru.c: ONNX GRU: gates z and r and a new state. See recurrent.h. */
#include "recurrent.h"

enum { LINEAR_BEFORE_RESET = OWN };
enum { SIGMOID, TANH };

/* scratch: r h, or h's product, [B, H]; z and r [B, 2 H]; then 2 H. */

static void reset(recurrence *run, float *gates, const float *h, float *zr,
                  float *out) {
  int32_t n = run->hidden;
  recurrent_activate(run, 0, SIGMOID, gates, zr, 2 * n);
  for (int32_t i = 0; i < n; ++i) out[i] = zr[n + i] * h[i];
}

/* The same where the product is made before the reset: r (h w + b). */
static void reset_product(recurrence *run, float *gates, float *zr,
                          float *product, const float *bias) {
  int32_t n = run->hidden;
  recurrent_activate(run, 0, SIGMOID, gates, zr, 2 * n);
  for (int32_t i = 0; i < n; ++i)
    gates[2 * n + i] += zr[n + i] * (product[i] + (bias ? bias[i] : 0));
}

static void update(recurrence *run, float *gates, const float *z, float *h) {
  int32_t n = run->hidden;
  float *fresh = run->scratch + 3 * (int64_t)run->batch * n;
  recurrent_activate(run, 1, TANH, gates + 2 * n, fresh, n);
  for (int32_t i = 0; i < n; ++i) h[i] = (1 - z[i]) * fresh[i] + z[i] * h[i];
}

static void step(recurrence *run, float *products, int32_t s) {
  int32_t n = run->hidden, gates = run->gates, batch = run->batch;
  int64_t states = (int64_t)batch * n;
  int32_t before = (int32_t)ops_int(run->call, LINEAR_BEFORE_RESET, 0);
  float *hidden = run->scratch, *zr = hidden + states;
  const float *last = run->r + 2 * (int64_t)n * n;
  const ops_tensor *b = &run->call->tensors[IN_B];
  const float *bias =
      b->absent ? 0 : (const float *)b->data + ((int64_t)run->at * 6 + 5) * n;
  ops_dots(run->h, batch, run->r, 2 * n, n, products, gates);
  if (before) {
    __builtin_memset(hidden, 0, (uint32_t)states * 4);
    ops_dots(run->h, batch, last, n, n, hidden, n);
  }
  for (int64_t i = 0; i < batch; ++i)
    if (before)
      reset_product(run, products + i * gates, zr + i * 2 * n, hidden + i * n,
                    bias);
    else
      reset(run, products + i * gates, run->h + i * n, zr + i * 2 * n,
            hidden + i * n);
  if (!before) ops_dots(hidden, batch, last, n, n, products + 2 * n, gates);
  for (int64_t i = 0; i < batch; ++i)
    if (s < recurrent_length(run, (int32_t)i))
      update(run, products + i * gates, zr + i * 2 * n, run->h + i * n);
}

static int32_t shape(ops_request *call) { return recurrent_shape(call, 3, 2); }

static int32_t run(ops_request *call) {
  recurrence sizes = recurrent_sizes(call, 2);
  int32_t before = (int32_t)ops_int(call, LINEAR_BEFORE_RESET, 0);
  return recurrent_run(sizes, step, before ? sizes.hidden : 0);
}

const ops_collapse ops_collapse_gru = {shape, run, 0};
