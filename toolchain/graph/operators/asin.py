"""out[i] = asin(x[i]).

Edges: asin(-0) = -0; NaN beyond +-1.
Source: ONNX Asin-22; MindSpore Asin.
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
    compute=function("asin"),
    schedule=as_written,
    reference=np.arcsin,
    cases=unary_all(-1, 1),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.asin"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
