"""out[n, y, x, c] = f(sum_(r, s) (x[n, y', x', c] - x_zero) * (w[c, r, s] - w_zero[c]))

A convolution of each channel by itself, as quantized_conv has it.
Shapes: x [N, H, W, C], w [R, S, C], C up to a multiple of 8; the others as in
quantized_conv; C is `features`.
Dtypes: of x and of out.
Edges: results before the rounding are below 2^22 in magnitude.
Errors: windows larger than the padded image.
Source: ONNX ConvInteger-10, QLinearConv-10, with as many groups as channels.
"""

from toolchain.spec import Bound, Operator, Output, window_shapes
from toolchain.spec import quantized as q

TAKEN: q.Taken = (  # shape of x, of w [R, S, C]
    ((1, 1, 1, 1), (1, 1, 1), {}),
    ((1, 6, 9, 8), (3, 3, 8), {"pads": [1, 1, 1, 1]}),
    ((2, 9, 13, 16), (3, 3, 16), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((1, 9, 8, 5), (3, 3, 5), {"pads": [0, 2, 2, 0], "dilations": [2, 1]}),
    ((2, 7, 9, 19), (5, 5, 19), {"pads": [2, 2, 2, 2]}),
    ((1, 8, 9, 24), (2, 4, 24), {"strides": [3, 2], "dilations": [1, 2]}),
    ((1, 4, 5, 9), (3, 3, 9), {"pads": [4, 5, 4, 5], "strides": [1, 2]}),
    ((0, 6, 6, 7), (1, 1, 7), {}),
    ((1, 3, 3, 0), (2, 2, 0), {}),
)


def packed(w):
    return q.taps(w), {"kernel_shape": [*w.shape[:2]]}


def reference(
    x, w, scale, start, bias, x_scale, x_zero, w_zero, features, dtypes, **given
):
    given, windows = q.split_windows(given)
    taps = q.windows(x, x_zero, **windows)
    zero = None if w_zero is None else w_zero[:features]
    factors = q.integers(w[..., :features], zero)
    sums = (taps * factors).sum((3, 4))
    return q.finished(sums, scale, start, bias, x_scale, dtypes[1], **given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=q.INPUTS,
    outputs=(Output(dtype=1),),
    attributes=(*q.ATTRIBUTES, *q.OF_WINDOWS),
    units=2,
    dtypes=q.VARIANTS,
    source="quantized_depthwise.c",
    shapes=window_shapes.convolved_last,
    reference=reference,
    cases=lambda dtypes, rng: q.cases_of(dtypes, rng, TAKEN, packed),
    bound=Bound(ulp=1, why="a product and a sum, rounded as the reference does"),
)
