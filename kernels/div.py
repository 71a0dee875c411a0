"""out[i] = a[i] / b[i], with numpy broadcasting; integers truncate towards 0.

Edges: integers: x / 0 = 0, the lowest value / -1 wraps to itself. float32 as IEEE 754.
Source: ONNX Div-14; MindSpore RealDiv. ONNX leaves the integer edges open.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, pointwise
from toolchain.spec.cases import Array, binary
from toolchain.spec.integers import quotient
from toolchain.spec.math import Let


def _divide(k: Kernel, a: Expr, b: Expr) -> Expr:
    if k.dtype.startswith("float"):
        return a / b
    let = Let()
    return let.around(quotient(let, a, b, k.dtype))


def _reference(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, 1, b)
    floored = a // safe  # the lowest value // -1 wraps in numpy
    inexact = (floored * safe != a) & ((a < 0) != (safe < 0))
    return np.where(b == 0, 0, floored + inexact).astype(a.dtype)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    compute=pointwise(_divide),
    reference=_reference,
    cases=binary(),
    bound=Bound(ulp=0.5, why="one rounding"),
    aliases=("RealDiv",),
)
