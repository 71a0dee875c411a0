/* trilu.c: matrices with zeros below or above a diagonal. */
#include "walk.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (x->rank < 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has rank %d but must have 2 or more",
                        (int32_t)x->rank);
  return ops_shape_like(call, ops_output(call, 0), x);
}

/* A number as one in [low, high]. */
static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  int32_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
  int32_t upper = (int32_t)ops_int(call, 1, 0), itemsize = x->itemsize;
  int64_t k = clamp(ops_int(call, 0, 0), -rows, (int64_t)columns + 1);
  uint32_t row = (uint32_t)(columns * itemsize);
  for (int64_t at = 0, i = 0; at < x->bytes; at += row, ++i) {
    if (i == rows) i = 0;
    /* upper keeps from `edge` on, lower what is before it. */
    int64_t edge = clamp(i + k + !upper, 0, columns);
    uint32_t split = (uint32_t)(edge * itemsize), rest = row - split;
    uint8_t *to = out->data + at;
    const uint8_t *from = x->data + at;
    __builtin_memset(upper ? to : to + split, 0, upper ? split : rest);
    if (upper)
      __builtin_memcpy(to + split, from + split, rest);
    else
      __builtin_memcpy(to, from, split);
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_trilu = {shape, run, 0};
