/* eight_images.h: windows over images of 8-bit integers, channels last. */
#ifndef OPS_EIGHT_IMAGES_H_
#define OPS_EIGHT_IMAGES_H_

#include "eight_bit.h"

/* Attributes of both convolutions, after those that products have. */
enum { FEATURES = EIGHT_OWN, KERNEL_SHAPE, STRIDES, PADS, DILATIONS };

/* An axis of the image: taps of a window, windows along it. */
typedef struct {
  int64_t size, taps, stride, dilation, before, after, windows;
} eight_axis;

static inline int32_t eight_axes(const ops_request *call, eight_axis *axes) {
  const ops_tensor *x = &call->tensors[IN_X];
  if (x->rank != 4 || call->units != 2)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "x has rank %d and lists have %d entries; use 4 and 2",
                        (int32_t)x->rank, call->units);
  for (int32_t i = 0; i < 2; ++i) {
    eight_axis axis = {x->shape[1 + i],
                       ops_int(call, KERNEL_SHAPE, i),
                       ops_int(call, STRIDES, i),
                       ops_int(call, DILATIONS, i),
                       ops_int(call, PADS, i),
                       ops_int(call, PADS, i + 2),
                       0};
    int64_t room = axis.size + axis.before + axis.after -
                   ((axis.taps - 1) * axis.dilation + 1);
    if (room < 0)
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "a window is longer than axis %d of x with its pads",
                          1 + i);
    axis.windows = room / axis.stride + 1;
    axes[i] = axis;
  }
  return OPS_OK;
}

static inline int32_t eight_image_shape(ops_request *call,
                                        const eight_axis *axes) {
  int64_t sizes[] = {call->tensors[IN_X].shape[0], axes[0].windows,
                     axes[1].windows, ops_int(call, FEATURES, 0)};
  return ops_set_shape(call, ops_output(call, 0), 4, sizes);
}

#endif /* OPS_EIGHT_IMAGES_H_ */
