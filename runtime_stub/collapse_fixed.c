/* collapse_fixed.c: programs whose tensors have one shape each: models.
 *
 * family->infer gives the sizes of every input, then of every output.
 */
#include "call.h"

static int64_t sizes[OPS_MAX_TENSORS * OPS_MAX_RANK];

static int32_t check_input(const ops_request *call, int32_t t,
                           const int64_t *wanted) {
  const ops_tensor *tensor = &call->tensors[t];
  int32_t rank = call->family->params[t].rank;
  if (tensor->rank != rank)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s %x has rank %d but must have rank %d", tensor->name,
                    tensor, (int32_t)tensor->rank, rank);
  for (int32_t i = 0; i < rank; ++i)
    if (tensor->shape[i] != wanted[i])
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "axis %d of %s %x must have size %l", i, tensor->name,
                      tensor, wanted[i]);
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  ops_slot slot = {.p = sizes};
  const int64_t *next = sizes;
  int32_t code = ops_run_kernel(call, call->family->infer, &slot);
  for (int32_t t = 0; !code && t < call->inputs + call->outputs; ++t) {
    int32_t rank = call->family->params[t].rank;
    code = t < call->inputs
               ? check_input(call, t, next)
               : ops_set_shape(call, &call->tensors[t], rank, next);
    next += rank;
  }
  return code;
}

static int32_t run(ops_request *call) {
  static ops_slot slots[OPS_MAX_TENSORS];
  for (int32_t t = 0; t < call->inputs + call->outputs; ++t)
    slots[t].p = call->tensors[t].data;
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_fixed = {shape, run};
