/* identity.c: out[i] = x[i], a kernel as the runtime calls it.
 *
 * For each dtype a function kernel_<operator>_<dtype>. It gets 8-byte slots:
 * data pointers of the inputs, then of the outputs, the sizes in the order of
 * Operator.symbols(), the attributes. The runtime has checked the call:
 * pointers hold the elements that the sizes say and are aligned to them; sizes
 * are at least 0 and below 2^31. It returns 0, or nonzero where it had no
 * workspace.
 */
#include "operator.h"

enum { X, OUT, N };

#define DEFINE_KERNEL(dtype, DTYPE, code, bits, type)      \
  int32_t kernel_identity_##dtype(const ops_slot *slots) { \
    __builtin_memcpy(slots[OUT].p, slots[X].p,             \
                     (uint32_t)slots[N].i * sizeof(type)); \
    return 0;                                              \
  }
OPS_EACH_DTYPE(DEFINE_KERNEL)
