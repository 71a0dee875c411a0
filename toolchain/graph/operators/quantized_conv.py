"""out[n, y, x, m] = f(sum_(r, s, c) (x[n, y', x', c] - x_zero) * (w[m, c, r, s] - ...))

A convolution of a quantized model, of images with their channels last; f is that of
toolchain/spec/quantized.py, y' = y * stride - pad + r * dilation, x' alike. What lies
outside the image adds nothing.
Shapes: x [N, H, W, C], w packed: [ceil(M / 8), ceil(R * S * C / 2), 16], consecutive in
k = (r, s, c); x_scale and x_zero []; the others an element for each output channel,
as packed; M is `features`; R, S are kernel_shape.
Dtypes: of x and of out.
Edges: results before the rounding are below 2^22 in magnitude.
Errors: windows larger than the padded image.
Source: ONNX ConvInteger-10, QLinearConv-10.
"""

import numpy as np

from toolchain.spec import Bound, Operator, Output, window_shapes
from toolchain.spec import quantized as q

TAKEN: q.Taken = (  # shape of x, of w [R, S, C, M]
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((2, 5, 6, 8), (1, 1, 8, 9), {}),
    ((1, 5, 6, 3), (3, 3, 3, 8), {"pads": [1, 1, 1, 1]}),
    ((2, 7, 6, 5), (3, 2, 5, 17), {"pads": [2, 0, 1, 1], "strides": [2, 1]}),
    ((1, 9, 9, 16), (3, 3, 16, 24), {"dilations": [2, 3], "pads": [0, 3, 2, 4]}),
    ((1, 1, 13, 4), (1, 5, 4, 7), {"strides": [1, 2], "pads": [0, 4, 0, 4]}),
    ((1, 6, 6, 7), (1, 1, 7, 5), {"strides": [2, 2]}),
    ((0, 6, 6, 7), (1, 1, 7, 5), {}),
    ((1, 3, 3, 0), (2, 2, 0, 5), {}),
)


def packed(w):
    matrix = w.reshape(np.prod(w.shape[:3], dtype=int), w.shape[3])
    return q.panels(matrix), {"kernel_shape": [*w.shape[:2]]}


def reference(
    x, w, scale, start, bias, x_scale, x_zero, w_zero, features, dtypes, **given
):
    given, windows = q.split_windows(given)
    taps = q.windows(x, x_zero, **windows)
    taps = taps.reshape(*taps.shape[:3], np.prod(taps.shape[3:], dtype=int))
    columns = q.columns_of(w, taps.shape[-1], features)
    zero = None if w_zero is None else w_zero[:features]
    sums = taps @ q.integers(columns, zero)
    return q.finished(sums, scale, start, bias, x_scale, dtypes[1], **given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=q.INPUTS,
    outputs=(Output(dtype=1),),
    attributes=(*q.ATTRIBUTES, *q.OF_WINDOWS),
    units=2,
    dtypes=q.VARIANTS,
    source="quantized_conv.c",
    shapes=window_shapes.convolved_last,
    reference=reference,
    cases=lambda dtypes, rng: q.cases_of(dtypes, rng, TAKEN, packed),
    bound=Bound(ulp=1, why="a product and a sum, rounded as the reference does"),
)
