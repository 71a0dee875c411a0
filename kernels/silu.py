"""out[i] = x[i] / (1 + exp(-x[i])).

Edges: silu(-inf) = NaN, as ONNX Runtime and torch; silu(-0) = -0.
Source: MindSpore SiLU; ONNX Swish-24 with alpha 1.
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
    compute=function("silu"),
    schedule=as_written,
    reference=lambda x: x / (1 + np.exp(-x)),
    cases=unary_all(-110, 20),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.silu"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
    aliases=(
        "SiLU",
        "Swish",
    ),
)
