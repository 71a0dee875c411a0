"""out[i] = the smallest integer >= x[i].

Edges: ceil(-0.5) = -0; infinities and NaN stay.
Source: ONNX Ceil-13; MindSpore Ceil.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    compute=pointwise(lambda k, x: math.ceil(x)),
    reference=np.ceil,
    cases=unary_all(),
    bound=Bound(why="no rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
