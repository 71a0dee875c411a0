"""out[o, i] = x[o, i] / sqrt(sum_j x[o, j]^2 / n + epsilon) * scale[i]

Shapes: rows o of n elements, the axes of x from `axis` on; scale has the shape of a
row, out that of x.
Dtypes: float32, added up in float32.
Edges: NaN or an infinity in a row gives NaN there; squares beyond 3.4e38 give 0.
Source: ONNX RMSNormalization-23; MindSpore RmsNorm.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, te
from toolchain.spec import math as m
from toolchain.spec.cases import trailing
from toolchain.spec.rows import SUM, TRAILING


def compute(k):
    n = k.n.astype("float32")
    squares = SUM.rows(k, lambda i, r: k.x[i, r] * k.x[i, r], "squares")
    size = te.compute((k.o,), lambda i: m.sqrt(squares[i] / n + k.epsilon), "size")
    return te.compute((k.o, k.n), lambda i, r: k.x[i, r] / size[i] * k.scale[r], "out")


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
    reference=reference,
    cases=trailing(parameters=1),
    bound=Bound(ulp=4, why="the root 1, a division and a product 0.5 each"),
    aliases=("RmsNorm",),
)
