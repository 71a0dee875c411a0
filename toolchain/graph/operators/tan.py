"""out[i] = tan(x[i]).

Edges: tan(-0) = -0; NaN at infinities.
Source: ONNX Tan-22; MindSpore Tan.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.arrays import function
from toolchain.spec.cases import turns
from toolchain.spec.nest import as_written

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=function("tan"),
    schedule=as_written,
    reference=np.tan,
    cases=turns,
    bound=Bound(ulp=4.5, why="see toolchain.spec.math.tan"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
