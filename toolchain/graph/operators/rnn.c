/* rnn.c: ONNX RNN: h = f(x w + h r + b). See recurrent.h. */
#include "recurrent.h"

enum { TANH = 1 };

static void step(recurrence *run, float *products, int32_t s) {
  int32_t n = run->hidden;
  ops_dots(run->h, run->batch, run->r, n, n, products, n);
  for (int64_t b = 0; b < run->batch; ++b)
    if (s < recurrent_length(run, (int32_t)b))
      recurrent_activate(run, 0, TANH, products + b * n, run->h + b * n, n);
}

static int32_t shape(ops_request *call) { return recurrent_shape(call, 1, 1); }

static int32_t run(ops_request *call) {
  return recurrent_run(recurrent_sizes(call, 1), step, 0);
}

const ops_collapse ops_collapse_rnn = {shape, run, 0};
