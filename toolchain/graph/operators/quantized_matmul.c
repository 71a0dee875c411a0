/* quantized_matmul.c: rows of 8-bit integers by packed weights. */
#include "eight_panels.h"

enum { FEATURES = EIGHT_OWN };

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[IN_X];
  if (x->rank < 1)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x is a scalar; give it one axis or more");
  int32_t code = eight_check_panels(call, x->shape[x->rank - 1]);
  if (code) return code;
  int64_t sizes[OPS_MAX_RANK];
  for (int32_t i = 0; i < x->rank; ++i) sizes[i] = x->shape[i];
  sizes[x->rank - 1] = ops_int(call, FEATURES, 0);
  return ops_set_shape(call, ops_output(call, 0), x->rank, sizes);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[IN_X];
  int64_t k = x->shape[x->rank - 1];
  eight_rows rows = {.gather = eight_gather,
                     .source = eight_source_of(call),
                     .x = x->data,
                     .count = ops_product(x->shape, 0, x->rank - 1),
                     .depth = (k + 1) / 2 * 2,
                     .length = k};
  return eight_multiply(call, &rows);
}

const ops_collapse ops_collapse_quantized_matmul = {shape, run, 0};
