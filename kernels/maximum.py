"""out[i] = max(a[i], b[i]), with numpy broadcasting.

Edges: NaN where either is NaN; +0 above -0 (IEEE 754 maximum).
Source: ONNX Max-13, for two tensors; MindSpore Maximum.
"""

from typing import Any

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise, tir
from toolchain.spec.cases import binary


def _maximum(k: Any, a: Any, b: Any) -> Any:
    if k.dtype.startswith("float"):
        return math.maximum(a, b, k.target.has("simd128"))
    return tir.Select(a > b, a, b)


def _reference(a: Any, b: Any) -> Any:
    result = np.maximum(a, b)
    if result.dtype.kind != "f":
        return result
    zero = np.where(np.signbit(a) & np.signbit(b), -0.0, 0.0)
    return np.where(result == 0, zero, result)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    compute=pointwise(_maximum),
    reference=_reference,
    cases=binary(),
    bound=Bound(why="no rounding"),
    aliases=("Max",),
)
