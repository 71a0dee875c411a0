"""out[o] = sqrt(sum_i x[o, i]^2)

Shapes: rows o of n elements along `axes` (none: all axes, or with
noop_with_empty_axes=1 none, which gives |x|); keepdims=1 leaves axes of size 1.
Dtypes: float32, added up in float32; squares that leave it, in float64.
Edges: 0 for an empty row.
Source: ONNX ReduceL2-18; MindSpore LpNorm with p=2.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.cases import along_axes, reductions
from toolchain.spec.nest import as_written
from toolchain.spec.rows import REDUCE_AXES, SQUARES, reduction

rows, columns = reduction(SQUARES, root=True)


def norm(x, **axes):
    return np.sqrt(np.sum(np.square(x), **axes))


def reference(x, keepdims, noop_with_empty_axes, axes=()):
    if not axes and noop_with_empty_axes:
        return norm(x, axis=())
    return along_axes(norm)(x, keepdims, 0, axes)


KERNEL = Operator(
    collapse="rows.reduce_axes",
    inputs=(Input("x", "o n"),),
    attributes=REDUCE_AXES,
    dtypes=("float32",),
    absent={"int32": "ONNX Runtime has it for floats", "int8": "not in ONNX"},
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=reference,
    cases=reductions(),
    bound=Bound(ulp=4, why="1031 additions in order along a column, halved by sqrt"),
)
