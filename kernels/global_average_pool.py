"""out[o] = sum_i x[o, i] / n

Shapes: rows o are the first two axes of x (batch, channel), n elements the axes from 2
on, which stay with size 1.
Dtypes: float32, added up in float32.
Edges: NaN where an axis has size 0. A sum beyond float32 is done again in float64.
Source: ONNX GlobalAveragePool-1; MindSpore ReduceMean over the axes from 2 on.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator
from toolchain.spec.cases import SPECIAL_ROWS, shape_name, values
from toolchain.spec.nest import as_written
from toolchain.spec.rows import SUM, reduction

SHAPES = (
    *((2, 3, n) for n in (0, 1, 3, 15, 16, 17, 1031)),
    *((2, 3, 7, 7), (1, 2, 3, 4, 5), (0, 3, 2), (2, 0, 2), (1, 2, 1, 3, 1, 2, 2, 2)),
)


def spatial(x):
    return tuple(range(2, x.ndim))


def cases(dtypes, rng):
    for shape in SHAPES:
        yield Case(shape_name(shape), (values(rng, shape, "float32"),))
    yield Case("special", (SPECIAL_ROWS[None],))


KERNEL = Operator(
    collapse="rows.spatial",
    inputs=(Input("x", "o n"),),
    dtypes=("float32",),
    absent={"int32": "not in ONNX", "int8": "not in ONNX"},
    compute=reduction(SUM, mean=True)[0],
    schedule=as_written,
    reference=lambda x: (
        np.sum(x, axis=spatial(x), keepdims=True) / np.prod(x.shape[2:])
    ),
    reference_scale=lambda x: (
        np.sum(np.abs(x), axis=spatial(x), keepdims=True) / np.prod(x.shape[2:])
    ),
    cases=cases,
    bound=Bound(ulp=2, why="1031 additions in 16 lanes; of mean |x|"),
)
