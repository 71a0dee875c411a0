"""out[i] = |x[i]|.

Edges: the lowest integer wraps to itself; |-0| = 0.
Source: ONNX Abs-13; MindSpore Abs.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, math, pointwise, tir
from toolchain.spec.cases import unary


def _absolute(k: Kernel, x: Expr) -> Expr:
    if k.dtype.startswith("float"):
        return math.absolute(x)
    zero = tir.const(0, k.dtype)
    return tir.Select(x < zero, zero - x, x)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32", "int32", "int8"),
    models=("float64",),
    compute=pointwise(_absolute),
    reference=np.abs,
    cases=unary(),
    bound=Bound(why="no rounding"),
)
