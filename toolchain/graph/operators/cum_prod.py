"""out[o, i] = prod_{j <= i} x[o, j]

Shapes: rows o of n elements along `axis`; out has the shape of x.
Attributes: exclusive=1 leaves x[o, i] itself out; reverse=1 multiplies from the end.
Dtypes: multiplied in the dtype of x, in order.
Edges: integers wrap as two's complement.
Source: ONNX CumProd-26, whose axis is a tensor; MindSpore CumProd.
"""

import numpy as np

from toolchain.spec import PARTIAL_SUMS, Bound, Input, Operator
from toolchain.spec.cases import running
from toolchain.spec.rows import RUNNING


def reference(x, axis, exclusive, reverse):
    x = np.flip(x, axis) if reverse else x
    if exclusive:
        one = np.ones_like(np.take(x, [0] if x.shape[axis] else [], axis))
        rest = np.take(x, range(max(x.shape[axis] - 1, 0)), axis)
        x = np.concatenate([one, rest], axis)
    total = np.cumprod(x, axis=axis, dtype=x.dtype)
    return np.flip(total, axis) if reverse else total


KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"),),
    attributes=RUNNING,
    dtypes=("float32", "int32", "int64", "float64"),
    source="cum_prod.c",
    reference=reference,
    cases=running(-1.2, 1.2),
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=4200, why="4099 products in order"),
)
