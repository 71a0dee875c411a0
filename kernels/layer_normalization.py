"""out[o, i] = (x[o, i] - mean[o]) / sqrt(var[o] + epsilon) * scale[i] + bias[i]

Shapes: rows o of n elements, the axes of x from `axis` on; scale and bias (0 where
absent) have the shape of a row, out that of x.
Dtypes: float32, added up in float32: first the mean, then the squares of x - mean. A
row whose squares leave float32 is done in float64.
Edges: NaN or an infinity in a row gives NaN.
Source: ONNX LayerNormalization-17 (its first output); MindSpore LayerNorm.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import trailing
from toolchain.spec.nest import as_written
from toolchain.spec.normalization import normalized
from toolchain.spec.rows import DEVIATIONS, SUM, TRAILING


def compute(k):
    def statistics(first, count, x):
        means, squares = (T.alloc_buffer((4,), k.dtype) for _ in range(2))
        SUM.rows(x, means, count, k.n, first * k.n, extra=k.n)
        with T.serial(0, count) as i:
            shift = tir.reinterpret("int32", means[i])
            row = (first + i) * k.n
            DEVIATIONS.rows(x, squares, 1, k.n, row, extra=shift, at=i)
        return squares, means

    return normalized(k, statistics, *k.inputs)


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
    schedule=as_written,
    reference=reference,
    reference_scale=magnitude,
    cases=trailing(parameters=2),
    bound=Bound(ulp=4, why="mean 1, deviation 1, four roundings; of |x| + |mean|"),
    aliases=("LayerNorm",),
)
