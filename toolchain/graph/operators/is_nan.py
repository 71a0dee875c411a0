"""out[i] = whether x[i] is NaN.

Source: ONNX IsNaN-20; MindSpore IsNan.
"""

import numpy as np

from toolchain.spec import Input, Operator, Output, math, pointwise
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype="bool"),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: math.is_nan(x)),
    reference=np.isnan,
    cases=unary(),
    absent=dict.fromkeys(("int32", "int8"), "no integer is NaN"),
    aliases=("IsNaN",),
)
