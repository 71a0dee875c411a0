"""out[i] = max(a[i], b[i]), with numpy broadcasting.

Edges: NaN where either is NaN; +0 above -0 (IEEE 754 maximum).
Source: ONNX Max-13, for two tensors; MindSpore Maximum.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, math, pointwise, tir
from toolchain.spec.cases import Array, binary


def _maximum(k: Kernel, a: Expr, b: Expr) -> Expr:
    if k.dtype.startswith("float"):
        return math.maximum(a, b, k.target.has("simd128"))
    return tir.Select(a > b, a, b)


def _reference(a: Array, b: Array) -> Array:
    result = np.maximum(a, b)
    if result.dtype.kind != "f":
        return result
    zero = np.where(np.signbit(a) & np.signbit(b), -0.0, 0.0)
    return np.where(result == 0, zero, result)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    compute=pointwise(_maximum),
    reference=_reference,
    cases=binary(),
    bound=Bound(why="no rounding"),
    aliases=("Max",),
)
