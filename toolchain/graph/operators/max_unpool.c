/* max_unpool.c: elements back to where a pooling took them from. */
#include "windows3.h"

enum { OUTPUT_SHAPE = WINDOWS_OWN };

/* The size of an axis of what was pooled. */
static int64_t pooled_size(const window_axis *axis) {
  return (axis->size - 1) * axis->stride + axis->taps - axis->begin - axis->end;
}

static int64_t output_size(const ops_request *call, const window_axes *windows,
                           int32_t i) {
  int64_t given = ops_int(call, OUTPUT_SHAPE, i);
  return given ? given
               : pooled_size(&windows->axes[SPATIAL - windows->spatial + i]);
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  window_axes windows;
  int64_t out[2 + SPATIAL];
  int32_t code = ops_window_axes(call, &windows);
  if (!code) code = ops_expect(call, 1, x->rank, x->shape);
  if (code) return code;
  for (int32_t i = 0; i < 2; ++i) out[i] = x->shape[i];
  for (int32_t i = 0; i < windows.spatial; ++i) {
    out[2 + i] = output_size(call, &windows, i);
    int64_t least = pooled_size(&windows.axes[SPATIAL - windows.spatial + i]);
    if (out[2 + i] < least || least < 0)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "axis %d of out would have size %l, but windows "
                          "reach over %l; use a larger output_shape, or fewer "
                          "pads",
                          2 + i, out[2 + i], least);
  }
  return ops_set_shape(call, ops_output(call, 0), x->rank, out);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  const int64_t *indices = (const int64_t *)call->tensors[1].data;
  window_axes windows;
  int32_t code = ops_window_axes(call, &windows), sizes[SPATIAL];
  if (code) return code;
  ops_window_sizes(out, sizes);
  uint64_t pooled[SPATIAL], total = (uint64_t)ops_product(x->shape, 0, 2);
  for (int32_t i = 0; i < SPATIAL; ++i) {
    pooled[i] = i < SPATIAL - windows.spatial
                    ? 1
                    : (uint64_t)pooled_size(&windows.axes[i]);
    total *= pooled[i];
  }
  for (int32_t i = 0; i < x->count; ++i)
    if ((uint64_t)indices[i] >= total)
      return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                      "indices[%d] is %l, outside the %l elements that were "
                      "pooled; use 0..%l",
                      i, indices[i], total, total - 1);
  __builtin_memset(out->data, 0, (uint32_t)out->bytes);
  for (int32_t i = 0; i < x->count; ++i) {
    uint64_t place = (uint64_t)indices[i], column = place % pooled[2];
    place /= pooled[2];
    uint64_t row = place % pooled[1];
    place /= pooled[1];
    uint64_t plane = place / pooled[0], depth = place % pooled[0];
    place = ((plane * (uint64_t)sizes[0] + depth) * (uint64_t)sizes[1] + row) *
                (uint64_t)sizes[2] +
            column;
    ((float *)out->data)[place] = ((const float *)x->data)[i];
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_max_unpool = {shape, run, 0};
