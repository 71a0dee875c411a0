"""out[..., m, n] = f(sum_k (x[..., m, k] - x_zero) * (w[k, n] - w_zero[n]))

A matrix product of a quantized model; toolchain/spec/quantized.py says what f is.
Shapes: x [..., K], w packed: [ceil(N / 8), ceil(K / 2), 16]; x_scale and x_zero []; the
others an element for each column of w, as packed; N is `features`.
Dtypes: of x and of out.
Edges: results before the rounding are below 2^22 in magnitude.
Source: ONNX MatMulInteger-10, QLinearMatMul-21; com.microsoft MatMulIntegerToFloat.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Operator, Output
from toolchain.spec import quantized as q
from toolchain.spec.cases import shape_name, values

TAKEN = (  # shape of x, columns
    ((1, 1), 1),
    ((1, 7), 9),
    ((2, 16), 8),
    ((3, 33), 31),
    ((5, 64), 17),
    ((2, 3, 19), 24),
    ((131, 1031), 9),
    ((9,), 5),
    ((0, 5), 3),
    ((4, 0), 3),
)


def shapes(call):
    x, columns = call.shape(0), call.integer("features")
    return [None if x is None else (*x[:-1], columns)]


def reference(
    x, w, scale, start, bias, x_scale, x_zero, w_zero, features, dtypes, **given
):
    columns = q.columns_of(w, x.shape[-1], features)
    zero = None if w_zero is None else w_zero[:features]
    sums = q.integers(x, x_zero) @ q.integers(columns, zero)
    return q.finished(sums, scale, start, bias, x_scale, dtypes[1], **given)


def cases(dtypes, rng):
    for i, (shape, columns) in enumerate(TAKEN):
        weights = values(rng, (shape[-1], columns), "int8")
        some = q.rounded_up(columns, 8)
        zero = np.full(some, 3, "i4") if i % 2 else None
        near = values(rng, (some,), "float32", 1e-4, 1e-3)
        rows = [near, values(rng, (some,), "int32", -99, 99), None, None]
        if dtypes[1] == "float32":
            rows = [near, None, values(rng, (some,), "float32"), np.float32(0.3)]
        given: dict[str, float] = {"features": columns}
        if i % 3 and dtypes[1] != "int32":
            given |= {"minimum": 2.0, "maximum": 99.0, "y_zero": 7}
        x = values(rng, shape, dtypes[0])
        point = values(rng, (), dtypes[0]) if i % 4 else None
        taken = (x, q.panels(weights), *rows, point, zero)
        yield Case(f"{shape_name(shape)}-{columns}", taken, given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(*q.INPUTS, q.W_ZERO),
    outputs=(Output(dtype=1),),
    attributes=(*q.ATTRIBUTES, Attribute("features", minimum=0, maximum=2**31 - 1)),
    dtypes=q.VARIANTS,
    source="quantized_matmul.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(ulp=1, why="a product and a sum, rounded as the reference does"),
)
