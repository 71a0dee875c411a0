/* collapse_fixed.c: programs whose tensors have one shape each: models.
 *
 * family->sizes has the sizes of every input, then of every output.
 */
#include "call.h"

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
  const int64_t *next = call->family->sizes;
  int32_t code = OPS_OK;
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
  for (int32_t t = 0; t < call->inputs + call->outputs; ++t)
    ops_room_slots[t].p = call->tensors[t].data;
  int32_t code = call->op->kernel(ops_room_slots);
  if (code > 1) return code; /* with its text: of indices.c, or of a node */
  return code ? ops_fail_workspace(call) : OPS_OK;
}

const ops_collapse ops_collapse_fixed = {shape, run, 0};
