/* late.c: outputs whose sizes follow from elements. */
#include "call.h"

void ops_set_late(ops_request *call, ops_tensor *output, const int32_t *shape) {
  (void)call;
  for (int32_t i = 0; i < output->rank; ++i) {
    output->shape[i] = shape[i];
    if (output->room) output->room[i] = shape[i];
  }
  output->count = ops_product(output->shape, 0, output->rank);
  output->bytes = output->count * output->itemsize;
}
