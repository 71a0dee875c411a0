"""out[i] = 1 / x[i].

Edges: 1/0 = inf, 1/-0 = -inf.
Source: ONNX Reciprocal-13; MindSpore Reciprocal and Inv.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, pointwise, tir
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    compute=pointwise(lambda k, x: tir.const(1, k.dtype) / x),
    reference=np.reciprocal,
    cases=unary_all(),
    bound=Bound(ulp=0.5, why="one rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
    aliases=("Inv",),
)
