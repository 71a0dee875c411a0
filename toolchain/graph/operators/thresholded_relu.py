"""out[i] = x[i] where x[i] > alpha, else 0.

Edges: 0 for NaN.
Source: ONNX ThresholdedRelu-22.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, pointwise, tir
from toolchain.spec.cases import unary


def cases(dtypes, rng):
    for alpha in (1.0, -2.0, 0.0):
        for case in unary()(dtypes, rng):
            yield Case(f"{case.name}-{alpha}", case.inputs, {"alpha": alpha})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(Attribute("alpha", "float", default=1.0),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: tir.Select(x > k.alpha, x, tir.const(0, "float32"))),
    reference=lambda x, alpha: np.where(x > alpha, x, 0),
    cases=cases,
    bound=Bound(why="no arithmetic"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
