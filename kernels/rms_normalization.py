"""out[o, i] = x[o, i] / sqrt(sum_j x[o, j]^2 / n + epsilon) * scale[i]

Shapes: rows o of n elements, the axes of x from `axis` on; scale has the shape of a
row, out that of x.
Dtypes: float32, added up in float32; a row whose squares leave it, in float64.
Edges: NaN in a row gives NaN; an infinity gives NaN there and 0 elsewhere.
Source: ONNX RMSNormalization-23; MindSpore RmsNorm.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import trailing
from toolchain.spec.nest import as_written
from toolchain.spec.normalization import normalized
from toolchain.spec.rows import SQUARES, TRAILING


def compute(k):
    def statistics(first, count, x):
        squares = T.alloc_buffer((4,), k.dtype)
        SQUARES.rows(x, squares, count, k.n, first * k.n)
        return squares, None

    return normalized(k, statistics, *k.inputs)


def reference(x, scale, axis, epsilon):
    if not x.size:
        return x
    axes = tuple(range(axis % x.ndim, x.ndim))
    squares = np.mean(np.square(x), axis=axes, keepdims=True)
    return x / np.sqrt(squares + epsilon) * scale


KERNEL = Operator(
    collapse="rows.trailing",
    inputs=(Input("x", "o n"), Input("scale", "n")),
    attributes=TRAILING,
    dtypes=("float32",),
    absent={"int32": "a quotient of integers", "int8": "a quotient of integers"},
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=trailing(parameters=1),
    bound=Bound(ulp=4, why="the root 1, a division and a product 0.5 each"),
    aliases=("RmsNorm",),
)
