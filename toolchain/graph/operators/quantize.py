"""out[i] = saturate(round(x[i] / scale) + zero): quantize_linear by numbers, in chains.

Dtypes: the quotient is a float32, rounded once; halves round to even.
Edges: NaN gives zero; infinities saturate.
Source: ONNX QuantizeLinear-13.
"""

import numpy as np

from toolchain.spec import (
    Attribute,
    Case,
    Input,
    Operator,
    Output,
    pointwise,
    tir,
)
from toolchain.spec.cases import unary
from toolchain.spec.math import Let, clamp, is_nan, rint


def formula(k, x):
    let = Let()
    ends = np.iinfo(k.dtypes[1])
    low, high = (tir.const(float(v), "float32") for v in (ends.min, ends.max))
    ratio = let(x / k.scale)
    number = tir.Select(is_nan(ratio), tir.const(0, "float32"), rint(ratio))
    moved = let(number + k.zero.astype("float32"))
    near = let(clamp(moved, low, high, k.target.has("simd128")))
    return let.around(near.astype("int32").astype(k.dtypes[1]))


def reference(x, scale, zero, dtypes):
    ends = np.iinfo(dtypes[1])
    ratio = (x / np.float32(scale)).astype("f4").astype("f8")
    number = np.where(np.isnan(ratio), 0, np.rint(ratio))
    return np.clip(number + zero, ends.min, ends.max)


def cases(dtypes, rng):
    for case in unary(-300, 300)(dtypes, rng):
        yield Case(case.name, case.inputs, {"scale": 0.5, "zero": 7})
        yield Case(f"{case.name}-small", case.inputs, {"scale": 0.013, "zero": 0})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype=1),),
    attributes=(
        Attribute("scale", "float", default=1.0),
        Attribute("zero", default=0, minimum=-128, maximum=255),
    ),
    dtypes=(("float32", "uint8"), ("float32", "int8")),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    absent=dict.fromkeys(("int32", "int8"), "of floats"),
)
