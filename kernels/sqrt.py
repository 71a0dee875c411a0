"""out[i] = sqrt(x[i]).

Edges: NaN below 0; sqrt(-0) = -0.
Source: ONNX Sqrt-13; MindSpore Sqrt.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    compute=pointwise(lambda k, x: math.sqrt(x)),
    reference=np.sqrt,
    cases=unary_all(),
    bound=Bound(ulp=0.5, why="one rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
