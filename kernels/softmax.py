"""out[o, i] = exp(x[o, i] - m[o]) / sum_j exp(x[o, j] - m[o]), m[o] = max_j x[o, j]

Shapes: rows o of n elements along `axis`; out has the shape of x.
Dtypes: float32, added up in float32. The rounding error of x - m, up to 52 ULP of the
result, is kept and applied, or there is none.
Edges: a NaN or +inf in a row gives NaN, as does a row of nothing but -inf.
Source: ONNX Softmax-13; MindSpore Softmax.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator
from toolchain.spec.cases import FAR, along_axis, values
from toolchain.spec.nest import as_written
from toolchain.spec.rows import AXIS
from toolchain.spec.softmax import softmax


def reference(x, axis):
    if not x.size:
        return x
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def cases(dtypes, rng):
    yield from along_axis(-60, 60)(dtypes, rng)
    for low, high in ((-20, 20), (-44, -43), (43, 44), (-45, 45)):
        x = values(rng, (5, 300), dtypes[0], low, high)
        yield Case(f"{low}-to-{high}", (x,), {"axis": -1})
    x = np.zeros((FAR.size, 40), dtypes[0])
    x[:, 7] = FAR
    yield Case("far", (x,), {"axis": -1})


rows, columns = softmax(
    lambda total, rest: 1 / total, lambda x, peak, e, scale: e * scale, shares=True
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
    cases=cases,
    bound=Bound(ulp=8, why="exp 1, division and product 1, the sum 2 to 5"),
)
