/* cosine_window.c: Hann's, Hamming's and Blackman's windows. */
#include "turns.h"

enum { SIZE, KIND, PERIODIC };

static int32_t shape(ops_request *call) {
  int64_t size = ops_int(call, SIZE, 0);
  return ops_set_shape(call, &call->tensors[0], 1, &size);
}

static int32_t run(ops_request *call) {
  /* As ONNX has them: Hamming's numbers are 25/46 and 21/46. */
  static const double weights[][3] = {
      {0.5, 0.5, 0}, {25.0 / 46, 21.0 / 46, 0}, {0.42, 0.5, 0.08}};
  const double *w = weights[ops_int(call, KIND, 0)];
  int64_t size = ops_int(call, SIZE, 0);
  int64_t n = ops_int(call, PERIODIC, 0) ? size : size - 1;
  float *out = (float *)call->tensors[0].data;
  for (int64_t i = 0; i < size; ++i) {
    double once = n ? ops_turn(i % n, n).re : 1;
    double twice = n ? ops_turn(2 * i % n, n).re : 1;
    out[i] = (float)(w[0] - w[1] * once + w[2] * twice);
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_cosine_window = {shape, run, 0};
