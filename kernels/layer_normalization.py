"""out[o, i] = (x[o, i] - mean[o]) / sqrt(var[o] + epsilon) * scale[i] + bias[i]

Shapes: rows o of n elements, the axes of x from `axis` on; scale and bias (0 where
absent) have the shape of a row, out that of x.
Dtypes: float32, added up in float32: first the mean, then the squares of x - mean.
Edges: NaN or an infinity in a row gives NaN.
Source: ONNX LayerNormalization-17 (its first output); MindSpore LayerNorm.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, te
from toolchain.spec import math as m
from toolchain.spec.cases import trailing
from toolchain.spec.rows import SUM, TRAILING


def compute(k):
    n = k.n.astype("float32")
    total = SUM.rows(k, lambda i, r: k.x[i, r], "total")
    mean = te.compute((k.o,), lambda i: total[i] / n, "mean")

    def square(i, r):
        return m.bind(k.x[i, r] - mean[i], lambda d: d * d)

    squares = SUM.rows(k, square, "squares")
    deviation = te.compute(
        (k.o,), lambda i: m.sqrt(squares[i] / n + k.epsilon), "deviation"
    )
    return te.compute(
        (k.o, k.n),
        lambda i, r: (k.x[i, r] - mean[i]) / deviation[i] * k.scale[r] + k.bias[r],
        "out",
    )


def statistics(x, axis, epsilon):
    axes = tuple(range(axis % x.ndim, x.ndim))
    mean = np.mean(x, axis=axes, keepdims=True)
    deviation = np.sqrt(np.var(x, axis=axes, keepdims=True) + epsilon)
    return mean, deviation


def reference(x, scale, bias, axis, epsilon):
    if not x.size:
        return x
    mean, deviation = statistics(x, axis, epsilon)
    return (x - mean) / deviation * scale + (0 if bias is None else bias)


def magnitude(x, scale, bias, axis, epsilon):
    if not x.size:
        return x
    mean, deviation = statistics(x, axis, epsilon)
    shift = 0 if bias is None else np.abs(bias)
    return (np.abs(x) + np.abs(mean)) / deviation * np.abs(scale) + shift


KERNEL = Operator(
    collapse="rows.trailing",
    inputs=(Input("x", "o n"), Input("scale", "n"), Input("bias", "n", optional=True)),
    attributes=TRAILING,
    dtypes=("float32",),
    absent={"int32": "a quotient of integers", "int8": "a quotient of integers"},
    compute=compute,
    reference=reference,
    reference_scale=magnitude,
    cases=trailing(parameters=2),
    bound=Bound(ulp=4, why="mean 1, deviation 1, four roundings; of |x| + |mean|"),
    aliases=("LayerNorm",),
)
