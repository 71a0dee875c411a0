/* lstm.c: ONNX LSTM: gates i, o, f and a new cell value. See recurrent.h. */
#include "recurrent.h"

enum { INPUT_FORGET = OWN };
enum { SIGMOID, TANH };

/* x += p * c */
static void add_peephole(float *x, const float *p, const float *c, int32_t n) {
  for (int32_t i = 0; i < n; ++i) x[i] += p[i] * c[i];
}

static void row(recurrence *run, float *gates, float *h, float *c) {
  const ops_tensor *peepholes = &run->call->tensors[IN_P];
  int32_t n = run->hidden, forget = !ops_int(run->call, INPUT_FORGET, 0);
  const float *p = peepholes->absent ? 0
                                     : (const float *)peepholes->data +
                                           (int64_t)run->at * 3 * n;
  float *in = run->scratch, *out = in + n, *keep = out + n, *cell = keep + n;
  if (p) {
    add_peephole(gates, p, c, n);
    if (forget) add_peephole(gates + 2 * n, p + 2 * n, c, n);
  }
  recurrent_activate(run, 0, SIGMOID, gates, in, p ? n : 3 * n);
  if (p) recurrent_activate(run, 0, SIGMOID, gates + 2 * n, keep, n);
  recurrent_activate(run, 1, TANH, gates + 3 * n, cell, n);
  for (int32_t i = 0; i < n; ++i)
    c[i] = (forget ? keep[i] : 1 - in[i]) * c[i] + in[i] * cell[i];
  if (p) {
    add_peephole(gates + n, p + n, c, n);
    recurrent_activate(run, 0, SIGMOID, gates + n, out, n);
  }
  /* The cell itself is not limited: a copy of it is. */
  __builtin_memcpy(in, c, (uint32_t)n * 4);
  recurrent_activate(run, 2, TANH, in, cell, n);
  for (int32_t i = 0; i < n; ++i) h[i] = out[i] * cell[i];
}

static void step(recurrence *run, float *products, int32_t s) {
  int64_t n = run->hidden;
  ops_dots(run->h, run->batch, run->r, run->gates, run->hidden, products,
           run->gates);
  for (int32_t b = 0; b < run->batch; ++b)
    if (s < recurrent_length(run, b))
      row(run, products + (int64_t)b * run->gates, run->h + b * n,
          run->c + b * n);
}

static int32_t shape(ops_request *call) { return recurrent_shape(call, 4, 3); }

static int32_t run(ops_request *call) {
  return recurrent_run(recurrent_sizes(call, 3), step, 0);
}

const ops_collapse ops_collapse_lstm = {shape, run, 0};
