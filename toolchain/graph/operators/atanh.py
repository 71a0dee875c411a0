"""out[i] = atanh(x[i]).

Edges: atanh(-0) = -0; infinities at +-1, NaN beyond.
Source: ONNX Atanh-22; MindSpore Atanh.
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
    compute=function("atanh"),
    schedule=as_written,
    reference=np.arctanh,
    cases=unary_all(-1, 1),
    bound=Bound(ulp=4.5, why="see toolchain.spec.math.atanh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
