"""out[i] = a[i] ^ b[i], bit by bit, with numpy broadcasting.

Source: ONNX BitwiseXor-18; MindSpore BitwiseXor.
"""

import numpy as np

from toolchain.spec import SAME_WIDTH, Input, Operator, pointwise
from toolchain.spec.cases import binary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("int32", "int8", "uint8", "int64"),
    stored_as=SAME_WIDTH,
    compute=pointwise(lambda k, a, b: a ^ b),
    reference=np.bitwise_xor,
    cases=binary(),
    absent={"float32": "floats have no bits in ONNX", "bool": "see logical_xor"},
)
