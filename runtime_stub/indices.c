/* indices.c: whether indices lie in an axis. They are data, so that nothing has
 * checked them before a call. */
#include "call.h"

int32_t ops_indices_inside(const char *name, const void *indices, int32_t count,
                           int32_t itemsize, int32_t axis, int32_t size) {
  const ops_request *call = &ops_state.call;
  for (int32_t i = 0; i < count; ++i) {
    int64_t index = itemsize == 8 ? ((const int64_t *)indices)[i]
                                  : ((const int32_t *)indices)[i];
    if (index >= -(int64_t)size && index < size) continue;
    if (size == 0)
      return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                      "%s[%d] is %l, but axis %d has size 0; use no indices",
                      name, i, index, axis);
    return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                    "%s[%d] is %l, outside axis %d of size %d; use %d..%d",
                    name, i, index, axis, size, -size, size - 1);
  }
  return OPS_OK;
}
