/* dft.c: the discrete Fourier transform along an axis, or its inverse. */
#include "fourier.h"

enum { AXIS, LENGTH, INVERSE, ONESIDED };

typedef struct {
  int32_t axis, length; /* of the transform */
  int32_t inverse, onesided;
  int32_t parts; /* of an element of x: 1 real, 2 complex */
} dft;

static int32_t read(const ops_request *call, dft *found) {
  const ops_tensor *x = &call->tensors[0];
  int32_t rank = x->rank;
  int64_t axis = ops_int(call, AXIS, 0), length = ops_int(call, LENGTH, 0);
  if (rank < 2 || x->shape[rank - 1] < 1 || x->shape[rank - 1] > 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x must have 2 axes or more, the last of size 1 (real) "
                        "or 2 (complex)");
  if (axis < -rank || axis >= rank || axis == -1 || axis == rank - 1)
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "axis %l is no axis of a signal; use %d..-2 or 0..%d",
                        axis, -rank, rank - 2);
  found->axis = (int32_t)(axis < 0 ? axis + rank : axis);
  found->inverse = (int32_t)ops_int(call, INVERSE, 0);
  found->onesided = (int32_t)ops_int(call, ONESIDED, 0);
  found->parts = x->shape[rank - 1];
  int64_t size = x->shape[found->axis];
  int32_t halved = found->onesided && found->inverse;
  if (!length) length = halved ? 2 * (size - 1) : size;
  if (found->onesided && !halved && found->parts == 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "onesided takes real signals: a last axis of size 1");
  if (length < 1 || length > INT32_MAX / 8)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "a transform of %l elements; use 1 to %d", length,
                        INT32_MAX / 8);
  found->length = (int32_t)length;
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int64_t out[OPS_MAX_RANK];
  dft given;
  int32_t code = read(call, &given);
  if (code) return code;
  for (int32_t i = 0; i < x->rank; ++i) out[i] = x->shape[i];
  out[given.axis] = given.onesided && !given.inverse ? given.length / 2 + 1
                                                     : given.length;
  out[x->rank - 1] = given.onesided && given.inverse ? 1 : 2;
  return ops_set_shape(call, ops_output(call, 0), x->rank, out);
}

/* A line of x into the plan; of an inverse one conjugates. */
static void load(const ops_fourier *plan, const dft *given, const float *x,
                 int64_t step, int32_t size) {
  int32_t n = given->length, mirrored = given->inverse && given->onesided;
  for (int32_t j = 0; j < n; ++j) {
    int32_t other = mirrored && j > n / 2, from = other ? n - j : j;
    ops_complex value = {0, 0};
    if (from < size) {
      value.re = x[from * step];
      value.im = given->parts == 2 ? x[from * step + 1] : 0;
    }
    if (other) value.im = -value.im;
    if (given->inverse) value.im = -value.im;
    plan->a[j] = value;
  }
}

static void store(const ops_fourier *plan, const dft *given, float *out,
                  int64_t step, int32_t size) {
  double scale = given->inverse ? 1 / (double)given->length : 1;
  for (int32_t j = 0; j < size; ++j) {
    out[j * step] = (float)(plan->b[j].re * scale);
    if (given->inverse && given->onesided) continue;
    out[j * step + 1] =
        (float)(plan->b[j].im * (given->inverse ? -scale : scale));
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  dft given;
  ops_fourier plan;
  int32_t code = read(call, &given), axis = given.axis, last = x->rank - 1;
  if (code || !out->count) return code;
  code = ops_fourier_plan(call, given.length, &plan);
  if (code) return code;
  int64_t outer = ops_product(x->shape, 0, axis);
  int64_t inner = ops_product(x->shape, axis + 1, last);
  int64_t step = inner * given.parts, to = inner * out->shape[last];
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      load(&plan, &given,
           (const float *)x->data + o * x->shape[axis] * step + i * given.parts,
           step, x->shape[axis]);
      ops_fourier_run(&plan);
      store(&plan, &given,
            (float *)out->data + o * out->shape[axis] * to +
                i * out->shape[last],
            to, out->shape[axis]);
    }
  ops_release(plan.turns);
  return OPS_OK;
}

const ops_collapse ops_collapse_dft = {shape, run, 0};
