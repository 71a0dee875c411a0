"""out[i] = atan(x[i]).

Edges: atan(-0) = -0; +-pi/2 at infinities.
Source: ONNX Atan-22; MindSpore Atan.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.arrays import function
from toolchain.spec.cases import unary_all
from toolchain.spec.nest import as_written

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=function("atan"),
    schedule=as_written,
    reference=np.arctan,
    cases=unary_all(-10, 10),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.atan"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
