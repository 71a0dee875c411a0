"""out[i] = x[i] / (1 + |x[i]|).

Edges: NaN at infinities.
Source: ONNX Softsign-22; MindSpore Softsign.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise, tir
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: x / (tir.const(1, "float32") + math.absolute(x))),
    reference=lambda x: x / (1 + np.abs(x)),
    cases=unary_all(),
    bound=Bound(ulp=1.5, why="a sum and a quotient"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
