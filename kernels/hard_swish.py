"""out[i] = x[i] * max(0, min(6, x[i] + 3)) / 6.

Edges: hard_swish(-inf) = NaN, as 0 * inf.
Source: ONNX HardSwish-22; MindSpore HSwish.
"""

from __future__ import annotations

import numpy as np

from toolchain.spec import Bound, Expr, Input, Kernel, Operator, math, pointwise, tir
from toolchain.spec.cases import unary_all


def _hard_swish(k: Kernel, x: Expr) -> Expr:
    zero, six, three = (tir.const(v, k.dtype) for v in (0, 6, 3))
    gate = math.clamp(x + three, zero, six, k.target.has("simd128"))
    return x * (gate * tir.const(1 / 6, k.dtype))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=pointwise(_hard_swish),
    reference=lambda x: x * (np.maximum(0, np.minimum(6, x + 3)) / 6),
    cases=unary_all(),
    bound=Bound(ulp=2.5, why="four roundings; x + 3 is exact where it cancels"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
    aliases=("HSwish",),
)
