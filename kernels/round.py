"""out[i] = x[i] rounded to an integer, halves to even.

Edges: round(-0.5) = -0; infinities and NaN stay.
Source: ONNX Round-22; MindSpore Round and Rint.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    compute=pointwise(lambda k, x: math.rint(x)),
    reference=np.rint,
    cases=unary_all(),
    bound=Bound(why="no rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
    aliases=("Rint",),
)
