/* stft.c: Fourier transforms of frames of a signal, each times a window. */
#include "fourier.h"

enum { SIGNAL, WINDOW };
enum { STEP, LENGTH, ONESIDED };

static int32_t length_of(const ops_request *call) {
  const ops_tensor *window = &call->tensors[WINDOW];
  int32_t given = (int32_t)ops_int(call, LENGTH, 0);
  return given || window->absent ? given : window->shape[0];
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[SIGNAL],
                   *window = &call->tensors[WINDOW];
  if (x->rank != 3 || x->shape[2] < 1 || x->shape[2] > 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "signal must be [N, length, 1] (real) or [N, length, "
                        "2] (complex)");
  if (!window->absent && window->rank != 1)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "window must have rank 1");
  int32_t length = length_of(call),
          onesided = (int32_t)ops_int(call, ONESIDED, 0);
  if (length < 1 || length > INT32_MAX / 8 || length > x->shape[1])
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "frames have %d elements; use frame_length or a window "
                        "of 1 to %d",
                        length, x->shape[1]);
  int32_t code = ops_expect(call, WINDOW, 1, &length);
  if (!code && onesided && x->shape[2] == 2)
    code = ops_fail_got(call, OPS_ERROR_SHAPE,
                        "onesided takes real signals: a last axis of size 1");
  int64_t out[] = {x->shape[0],
                   1 + (x->shape[1] - length) / ops_int(call, STEP, 0),
                   onesided ? length / 2 + 1 : length, 2};
  return code ? code : ops_set_shape(call, ops_output(call, 0), 4, out);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[SIGNAL],
                   *window = &call->tensors[WINDOW];
  const ops_tensor *out = ops_output(call, 0);
  const float *weights = window->absent ? 0 : (const float *)window->data;
  int32_t length = length_of(call), parts = x->shape[2];
  float *to = (float *)out->data;
  ops_fourier plan;
  if (!out->count) return OPS_OK;
  int32_t code = ops_fourier_plan(call, length, &plan);
  if (code) return code;
  for (int64_t n = 0; n < x->shape[0]; ++n)
    for (int64_t f = 0; f < out->shape[1]; ++f) {
      const float *from = (const float *)x->data +
                          (n * x->shape[1] + f * ops_int(call, STEP, 0)) *
                              parts;
      for (int32_t j = 0; j < length; ++j) {
        double weight = weights ? weights[j] : 1;
        plan.a[j].re = from[j * parts] * weight;
        plan.a[j].im = parts == 2 ? from[j * parts + 1] * weight : 0;
      }
      ops_fourier_run(&plan);
      for (int32_t k = 0; k < out->shape[2]; ++k) {
        *to++ = (float)plan.b[k].re;
        *to++ = (float)plan.b[k].im;
      }
    }
  ops_release(plan.turns);
  return OPS_OK;
}

const ops_collapse ops_collapse_stft = {shape, run, 0};
