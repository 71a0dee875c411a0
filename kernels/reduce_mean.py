"""out[o] = sum_i x[o, i] / n

Shapes: rows o of n elements along `axes` (none: all axes, or with
noop_with_empty_axes=1 a copy of x); keepdims=1 leaves axes of size 1.
Dtypes: float32 added up in float32; int8 in int32 (which holds 2^24 of them),
int32 and int64 in int64. The quotient of integers is truncated, as in ONNX Runtime.
Edges: an empty row gives NaN, for integers 0. A sum beyond float32 is done again in
float64; one beyond int64 wraps.
Source: ONNX ReduceMean-18; MindSpore ReduceMean.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.cases import along_axes, reductions
from toolchain.spec.nest import as_written
from toolchain.spec.rows import REDUCE_AXES, SUM, reduction

rows, columns = reduction(SUM, mean=True)


def mean(x, **axes):
    count = np.prod([x.shape[axis] for axis in axes["axis"]])
    if x.dtype == np.float64:
        return np.sum(x, **axes) / count
    total, count = np.sum(x, dtype=np.int64, **axes), max(int(count), 1)
    floor = total // count
    return floor + ((total < 0) & (floor * count != total))


KERNEL = Operator(
    collapse="rows.reduce_axes",
    inputs=(Input("x", "o n"),),
    attributes=REDUCE_AXES,
    dtypes=("float32", "int32", "int8", "int64"),
    models=("float64",),
    models_source="doubles.c",
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=along_axes(mean),
    reference_scale=along_axes(lambda x, **axes: mean(np.abs(x), **axes)),
    cases=reductions(),
    bound=Bound(ulp=4, why="1031 additions in order along a column; of mean |x|"),
)
