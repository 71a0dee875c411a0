"""out[i] = a[i] or b[i], of bools, with numpy broadcasting.

Source: ONNX Or-7; MindSpore LogicalOr.
"""

import numpy as np

from toolchain.spec import Input, Operator, pointwise
from toolchain.spec.cases import binary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("bool",),
    compute=pointwise(lambda k, a, b: a | b),
    reference=np.logical_or,
    cases=binary(),
    absent=dict.fromkeys(("float32", "int32", "int8"), "ONNX defines it for bool only"),
    aliases=("Or",),
)
