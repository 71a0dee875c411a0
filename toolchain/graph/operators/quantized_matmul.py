"""out[..., m, n] = f(sum_k (x[..., m, k] - x_zero) * (w[k, n] - w_zero[n]))

A matrix product of a quantized model; toolchain/spec/quantized.py says what f is.
Shapes: x [..., K], w packed: [ceil(N / 8), ceil(K / 2), 16]; x_scale and x_zero []; the
others an element for each column of w, as packed; N is `features`.
Dtypes: of x and of out.
Edges: results before the rounding are below 2^22 in magnitude.
Source: ONNX MatMulInteger-10, QLinearMatMul-21; com.microsoft MatMulIntegerToFloat.
"""

from toolchain.spec import Bound, Operator, Output
from toolchain.spec import quantized as q

TAKEN: q.Taken = (
    ((1, 1), (1, 1), {}),
    ((1, 7), (7, 9), {}),
    ((2, 16), (16, 8), {}),
    ((3, 33), (33, 31), {}),
    ((5, 64), (64, 17), {}),
    ((2, 3, 19), (19, 24), {}),
    ((131, 1031), (1031, 9), {}),
    ((9,), (9, 5), {}),
    ((0, 5), (5, 3), {}),
    ((4, 0), (0, 3), {}),
)


def shapes(call):
    x = call.shape(0)
    return [None if x is None else (*x[:-1], call.integer("features"))]


def packed(w):
    return q.panels(w), {}


def reference(
    x, w, scale, start, bias, x_scale, x_zero, w_zero, features, dtypes, **given
):
    columns = q.columns_of(w, x.shape[-1], features)
    zero = None if w_zero is None else w_zero[:features]
    sums = q.integers(x, x_zero) @ q.integers(columns, zero)
    return q.finished(sums, scale, start, bias, x_scale, dtypes[1], **given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=q.INPUTS,
    outputs=(Output(dtype=1),),
    attributes=q.ATTRIBUTES,
    dtypes=q.VARIANTS,
    source="quantized_matmul.c",
    shapes=shapes,
    reference=reference,
    cases=lambda dtypes, rng: q.cases_of(dtypes, rng, TAKEN, packed),
    bound=Bound(ulp=1, why="a product and a sum, rounded as the reference does"),
)
