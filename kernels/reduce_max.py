"""out[o] = max_i x[o, i]

Shapes: rows o of n elements along `axes` (none: all axes, or with
noop_with_empty_axes=1 a copy of x); keepdims=1 leaves axes of size 1.
Dtypes: no arithmetic, so no accumulator.
Edges: a NaN in a row gives NaN; an empty row gives -inf, or the smallest integer.
Source: ONNX ReduceMax-20; MindSpore ReduceMax.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.cases import along_axes, reductions
from toolchain.spec.nest import as_written
from toolchain.spec.rows import MAXIMUM, REDUCE_AXES, reduction

rows, columns = reduction(MAXIMUM)


def extreme(x, **axes):
    floats = x.dtype == np.float64
    empty = -np.inf if floats else np.iinfo(x.dtype).min
    return np.max(x, initial=empty, **axes)


KERNEL = Operator(
    collapse="rows.reduce_axes",
    inputs=(Input("x", "o n"),),
    attributes=REDUCE_AXES,
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    models_source="doubles.c",
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=along_axes(extreme),
    cases=reductions(),
    bound=Bound(why="one of the elements"),
)
