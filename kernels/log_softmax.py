"""out[o, i] = x[o, i] - m[o] - log(sum_j exp(x[o, j] - m[o])), m[o] = max_j x[o, j]

Shapes: rows o of n elements along `axis`; out has the shape of x.
Dtypes: float32, added up in float32.
Edges: a NaN or +inf in a row gives NaN, as does a row of nothing but -inf.
Source: ONNX LogSoftmax-13; MindSpore LogSoftmax.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec import math as m
from toolchain.spec.cases import along_axis
from toolchain.spec.nest import as_written
from toolchain.spec.rows import AXIS
from toolchain.spec.softmax import softmax


def centred(x, axis):
    return x - np.max(x, axis=axis, keepdims=True)


def reference(x, axis):
    if not x.size:
        return x
    d = centred(x, axis)
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


def scale(x, axis):
    # The logarithm's argument has an error relative to 1.
    return 1 + np.abs(np.nan_to_num(centred(x, axis))) if x.size else x


rows, columns = softmax(
    lambda total, rest: m.log(total) - rest,
    lambda x, peak, e, shift: (x - peak) - shift,
)

KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"),),
    attributes=(AXIS,),
    dtypes=("float32",),
    models=("float64",),
    models_source="doubles.c",
    absent={"int32": "exp of integers", "int8": "exp of integers"},
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=along_axis(-60, 60),
    bound=Bound(ulp=4, why="the sum 1 to 2 of 1, two subtractions of |x - m|"),
)
