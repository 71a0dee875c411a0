/* node.c: operators with a collapse of their own in models of known sizes. */
#include "node.h"

#include "check.h"

static void bind(ops_tensor *tensor, const ops_node_tensor *from) {
  tensor->rank = from->rank;
  tensor->dtype = from->dtype;
  tensor->itemsize = ops_dtypes[from->dtype].bits / 8;
  tensor->absent = !from->shape;
  tensor->room = 0;
  tensor->count = from->shape ? 1 : 0;
  for (int32_t i = 0; i < from->rank; ++i)
    tensor->count *= tensor->shape[i] = from->shape[i];
  tensor->bytes = tensor->count * tensor->itemsize;
}

int32_t ops_run_node(const ops_node *node, const ops_slot *slots) {
  ops_request *call = &ops_state.call;
  const ops_family *family = node->op->family;
  const ops_param *param = family->params;
  ops_tensor *tensor = call->tensors;
  int32_t more = node->inputs - family->inputs, code = OPS_OK;
  call->op = node->op;
  call->family = family;
  call->units = node->units;
  call->inputs = node->inputs;
  call->outputs = node->outputs;
  call->attributes = 0;
  call->inferring = 0;
  for (int32_t t = 0; t < node->inputs + node->outputs; ++t, ++tensor) {
    int32_t repeated = param->flags & OPS_PARAM_VARIADIC;
    bind(tensor, &node->tensors[t]);
    tensor->data = tensor->absent ? 0 : (slots++)->p;
    tensor->name = param->name;
    if (repeated && t < node->inputs ? more-- <= 0 : !repeated) ++param;
  }
  if (family->attribute_count)
    code = ops_check_attributes(call, node->attributes);
  if (!code) code = family->collapse->shape(call);
  return code ? code : family->collapse->run(call);
}
