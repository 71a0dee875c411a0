"""out[i] = cosh(x[i]).

Edges: inf at infinities.
Source: ONNX Cosh-22; MindSpore Cosh.
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
    compute=function("cosh"),
    schedule=as_written,
    reference=np.cosh,
    cases=unary_all(-90, 90),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.cosh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
