"""out[i] = log(1 + exp(x[i])).

Edges: softplus(-inf) = 0; denormal below -87.33.
Source: ONNX Softplus-22; MindSpore Softplus.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: math.softplus(x)),
    reference=lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    cases=unary_all(-104, 20),
    bound=Bound(ulp=2.5, why="see toolchain.spec.math.softplus"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
