"""out[i] = (x[i] - zero) * scale: dequantize_linear by numbers, for chains.

Dtypes: the difference is exact.
Source: ONNX DequantizeLinear-13.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, Output, pointwise
from toolchain.spec.cases import unary


def formula(k, x):
    return (x.astype("int32") - k.zero).astype("float32") * k.scale


def cases(dtypes, rng):
    for case in unary()(dtypes, rng):
        yield Case(case.name, case.inputs, {"scale": 0.3, "zero": 7})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype="float32"),),
    attributes=(
        Attribute("scale", "float", default=1.0),
        Attribute("zero", default=0, minimum=-128, maximum=255),
    ),
    dtypes=("uint8", "int8"),
    compute=pointwise(formula),
    reference=lambda x, scale, zero: (x.astype("f8") - zero) * np.float32(scale),
    cases=cases,
    bound=Bound(ulp=0.5, why="one rounding"),
    absent=dict.fromkeys(("float32", "int32"), "of 8-bit integers"),
)
