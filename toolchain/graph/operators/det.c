/* det.c: determinants of matrices, by elimination in float64. */
#include "walk.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int64_t out[OPS_MAX_RANK];
  int32_t rank = x->rank - 2;
  if (rank < 0 || x->shape[rank] != x->shape[rank + 1])
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x must be [..., M, M], of square matrices");
  for (int32_t i = 0; i < rank; ++i) out[i] = x->shape[i];
  return ops_set_shape(call, ops_output(call, 0), rank, out);
}

/* Brings the row with the largest element of a column to its place; whether it
 * was another. */
static int32_t pivot(double *m, int32_t n, int32_t column) {
  int32_t best = column;
  for (int32_t i = column + 1; i < n; ++i)
    if (__builtin_fabs(m[i * n + column]) >
        __builtin_fabs(m[best * n + column]))
      best = i;
  for (int32_t j = 0; best != column && j < n; ++j) {
    double value = m[best * n + j];
    m[best * n + j] = m[column * n + j];
    m[column * n + j] = value;
  }
  return best != column;
}

static double determinant(double *m, int32_t n) {
  double result = 1;
  for (int32_t c = 0; c < n; ++c) {
    if (pivot(m, n, c)) result = -result;
    double top = m[c * n + c];
    result *= top;
    if (top == 0) return result;
    for (int32_t i = c + 1; i < n; ++i) {
      double factor = m[i * n + c] / top;
      for (int32_t j = c + 1; j < n; ++j) m[i * n + j] -= factor * m[c * n + j];
    }
  }
  return result;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  int32_t n = x->shape[x->rank - 1];
  const float *from = (const float *)x->data;
  float *to = (float *)out->data;
  if (!out->count) return OPS_OK;
  double *m = ops_workspace(call, (int64_t)n * n * 8);
  if (!m) return OPS_ERROR_MEMORY;
  for (int32_t i = 0; i < out->count; ++i) {
    for (int32_t j = 0; j < n * n; ++j) m[j] = *from++;
    to[i] = (float)determinant(m, n);
  }
  ops_release(m);
  return OPS_OK;
}

const ops_collapse ops_collapse_det = {shape, run, 0};
