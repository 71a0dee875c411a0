"""out[i] = ~x[i], bit by bit.

Source: ONNX BitwiseNot-18; MindSpore Invert.
"""

import numpy as np

from toolchain.spec import SAME_WIDTH, Input, Operator, pointwise, tir
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("int32", "int8", "uint8", "int64"),
    stored_as=SAME_WIDTH,
    compute=pointwise(
        lambda k, x: x ^ tir.const(255 if k.dtype == "uint8" else -1, k.dtype)
    ),
    reference=np.invert,
    cases=unary(),
    absent={"float32": "floats have no bits in ONNX", "bool": "see logical_not"},
)
