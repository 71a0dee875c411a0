/* late.c: outputs whose sizes follow from elements. */
#include "call.h"

void ops_set_late(ops_request *call, ops_tensor *output, const int32_t *shape) {
  const DLTensor *given =
      call->args ? call->args[output - call->tensors].v_tensor : 0;
  for (int32_t i = 0; i < output->rank; ++i) {
    output->shape[i] = shape[i];
    if (given) given->shape[i] = shape[i];
  }
  output->count = ops_product(output->shape, 0, output->rank);
  output->bytes = output->count * output->itemsize;
}
