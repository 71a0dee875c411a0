"""out[i] = x[i] + bias where x[i] < -lambd, x[i] - bias where x[i] > lambd, else 0.

Edges: 0 for NaN.
Source: ONNX Shrink-9; MindSpore HShrink with bias 0.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, pointwise, tir
from toolchain.spec.cases import unary


def formula(k, x):
    zero = tir.const(0, "float32")
    below = tir.Select(x < zero - k.lambd, x + k.bias, zero)
    return tir.Select(x > k.lambd, x - k.bias, below)


def reference(x, lambd, bias):
    lambd, bias = float(np.float32(lambd)), float(np.float32(bias))
    return np.where(x > lambd, x - bias, np.where(x < -lambd, x + bias, 0))


def cases(dtypes, rng):
    for lambd, bias in ((0.5, 0.0), (1.5, 1.5), (0.0, -0.3)):
        for case in unary()(dtypes, rng):
            given = {"lambd": lambd, "bias": bias}
            yield Case(f"{case.name}-{lambd}-{bias}", case.inputs, given)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(
        Attribute("lambd", "float", default=0.5),
        Attribute("bias", "float", default=0.0),
    ),
    dtypes=("float32",),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    bound=Bound(ulp=0.5, why="one rounding"),
    absent=dict.fromkeys(("int32", "int8"), "its attributes are floats"),
)
