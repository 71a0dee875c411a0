"""out[i] = the largest integer <= x[i].

Edges: floor(-0) = -0; infinities and NaN stay.
Source: ONNX Floor-13; MindSpore Floor.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    compute=pointwise(lambda k, x: math.floor(x)),
    reference=np.floor,
    cases=unary_all(),
    bound=Bound(why="no rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
