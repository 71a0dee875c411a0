"""out[i] = -x[i].

Edges: the lowest integer wraps to itself; -NaN is NaN, -0 and 0 swap.
Source: ONNX Neg-13; MindSpore Neg.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, pointwise
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32", "int32", "int8", "int64"),
    models=("float64",),
    compute=pointwise(lambda k, x: x * -1),
    reference=np.negative,
    cases=unary(),
    bound=Bound(why="no rounding"),
)
