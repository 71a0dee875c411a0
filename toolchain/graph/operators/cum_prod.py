"""out[o, i] = prod_{j <= i} x[o, j]

Shapes: rows o of n elements along `axis`; out has the shape of x.
Attributes: exclusive=1 leaves x[o, i] itself out; reverse=1 multiplies from the end.
Dtypes: multiplied in the dtype of x, in order.
Edges: integers wrap as two's complement.
Source: ONNX CumProd-26, whose axis is a tensor; MindSpore CumProd.
"""

import numpy as np

from toolchain.spec import PARTIAL_SUMS, Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import along_axis
from toolchain.spec.rows import AXIS


def reference(x, axis, exclusive, reverse):
    x = np.flip(x, axis) if reverse else x
    if exclusive:
        one = np.ones_like(np.take(x, [0] if x.shape[axis] else [], axis))
        rest = np.take(x, range(max(x.shape[axis] - 1, 0)), axis)
        x = np.concatenate([one, rest], axis)
    total = np.cumprod(x, axis=axis, dtype=x.dtype)
    return np.flip(total, axis) if reverse else total


def cases(dtypes, rng):
    for case in along_axis(-1.2, 1.2)(dtypes, rng):
        for exclusive, reverse in ((0, 0), (1, 0), (0, 1), (1, 1)):
            given = {**case.attributes, "exclusive": exclusive, "reverse": reverse}
            yield Case(f"{case.name}-{exclusive}{reverse}", case.inputs, given)


KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"),),
    attributes=(
        AXIS,
        Attribute("exclusive", default=0, minimum=0, maximum=1),
        Attribute("reverse", default=0, minimum=0, maximum=1),
    ),
    dtypes=("float32", "int32", "int64", "float64"),
    source="cum_prod.c",
    reference=reference,
    cases=cases,
    narrow=PARTIAL_SUMS,
    bound=Bound(ulp=4200, why="4099 products in order"),
)
