"""out[i] = acosh(x[i]).

Edges: acosh(1) = 0; NaN below 1.
Source: ONNX Acosh-22; MindSpore Acosh.
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
    compute=function("acosh"),
    schedule=as_written,
    reference=np.arccosh,
    cases=unary_all(1, 10),
    bound=Bound(ulp=4.5, why="see toolchain.spec.math.acosh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
