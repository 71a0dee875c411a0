"""out[i] = asinh(x[i]).

Edges: asinh(-0) = -0; infinities stay.
Source: ONNX Asinh-22; MindSpore Asinh.
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
    compute=function("asinh"),
    schedule=as_written,
    reference=np.arcsinh,
    cases=unary_all(-10, 10),
    bound=Bound(ulp=4.5, why="see toolchain.spec.math.asinh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
