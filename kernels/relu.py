"""out[i] = max(x[i], 0).

Edges: relu(NaN) = NaN, relu(-0) = 0.
Source: ONNX Relu-14; MindSpore ReLU.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, pointwise, tir
from toolchain.spec.cases import unary


def _relu(k: Kernel, x: Expr) -> Expr:
    # Two instructions, where `maximum`, with its NaN and -0, takes seven on x86.
    zero = tir.const(0, k.dtype)
    return tir.Select(x <= zero, zero, x)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32", "int32", "int8"),
    models=("float64",),
    compute=pointwise(_relu),
    reference=lambda x: np.where(x <= 0, np.zeros((), x.dtype), x),
    cases=unary(),
    bound=Bound(why="no rounding"),
    aliases=("ReLU",),
)
