"""out[i] = sinh(x[i]).

Edges: sinh(-0) = -0; infinities stay.
Source: ONNX Sinh-22; MindSpore Sinh.
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
    compute=function("sinh"),
    schedule=as_written,
    reference=np.sinh,
    cases=unary_all(-90, 90),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.sinh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
