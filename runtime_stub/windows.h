/* windows.h: what kernels of pooling call; toolchain/spec/windows.py does. */
#ifndef OPS_WINDOWS_H_
#define OPS_WINDOWS_H_

#include <stdint.h>

/* An axis of an image: its elements, how many windows lie along it, the taps of
 * each, the elements from a window and from a tap to the next, and the pads
 * before the image. The padded image has fewer than 2^28 elements. */
typedef struct {
  int32_t size, windows, taps, stride, dilation, begin;
} ops_window_axis;

enum {
  OPS_WINDOWS_MAX = 0,
  OPS_WINDOWS_SUM = 1,
  OPS_WINDOWS_MAX_INT8 = 2,
  OPS_WINDOWS_MAX_UINT8 = 3
};

/* Whether folding tap by tap is in proportion to a plane and its windows. */
int32_t ops_windows_plain(const ops_window_axis axes[2]);
/* Folds the windows of a plane x into out; 0. scratch: 4 bytes for each element
 * of the larger of both, twice. */
int32_t ops_windows_fold(const void *x, void *out, void *scratch,
                         const ops_window_axis axes[2], int32_t kind);

#endif /* OPS_WINDOWS_H_ */
