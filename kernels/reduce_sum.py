"""out[o] = sum_i x[o, i]

Shapes: rows o of n elements along `axes` (none: all axes, or with
noop_with_empty_axes=1 a copy of x); keepdims=1 leaves axes of size 1.
Dtypes: float32 added up in float32; integers in their own width, which gives the
bits that a wider accumulator would be cut to.
Edges: 0 for an empty row; integers wrap as two's complement. Partial sums beyond
float32 are done again in float64.
Source: ONNX ReduceSum-13; MindSpore ReduceSum.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.cases import along_axes, reductions
from toolchain.spec.nest import as_written
from toolchain.spec.rows import REDUCE_AXES, SUM, reduction

rows, columns = reduction(SUM)


def total(x, **axes):
    return np.sum(x, dtype=x.dtype, **axes)


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
    reference=along_axes(total),
    reference_scale=along_axes(lambda x, **axes: total(np.abs(x), **axes)),
    cases=reductions(),
    bound=Bound(ulp=4, why="1031 additions in order along a column; of sum |x|"),
)
