"""out[i] = not x[i], of bools.

Source: ONNX Not-1; MindSpore LogicalNot.
"""

import numpy as np

from toolchain.spec import Input, Operator, pointwise
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("bool",),
    compute=pointwise(lambda k, x: x ^ 1),
    reference=np.logical_not,
    cases=unary(),
    absent=dict.fromkeys(("float32", "int32", "int8"), "ONNX defines it for bool only"),
    aliases=("Not",),
)
