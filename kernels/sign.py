"""out[i] = 1, 0 or -1, as x[i] is above, at or below 0.

Edges: sign(NaN) = NaN, sign(-0) = 0.
Source: ONNX Sign-13; MindSpore Sign.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, pointwise, tir
from toolchain.spec.cases import unary


def _sign(k: Kernel, x: Expr) -> Expr:
    zero, one = tir.const(0, k.dtype), tir.const(1, k.dtype)
    # NaN is neither above, below nor at 0.
    rest = tir.Select(tir.EQ(x, zero), zero, x)
    below = tir.Select(x < zero, tir.const(-1, k.dtype), rest)
    return tir.Select(x > zero, one, below)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32", "int32", "int8"),
    models=("float64",),
    compute=pointwise(_sign),
    reference=np.sign,
    cases=unary(),
    bound=Bound(why="no rounding"),
)
