"""out[o] = product_i x[o, i]

Shapes: rows o of n elements along `axes` (none: all axes, or with
noop_with_empty_axes=1 a copy of x); keepdims=1 leaves axes of size 1.
Dtypes: float32 multiplied in float32; integers in their own width, which gives the
bits that a wider accumulator would be cut to.
Edges: 1 for an empty row; integers wrap as two's complement; the factors are taken
in no promised order, so a product may overflow or vanish on the way.
Source: ONNX ReduceProd-18; MindSpore ReduceProd.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator
from toolchain.spec.cases import along_axes, reductions
from toolchain.spec.nest import as_written
from toolchain.spec.rows import PRODUCT, REDUCE_AXES, reduction

rows, columns = reduction(PRODUCT)


def cases(dtypes, rng):
    for case in reductions()(dtypes, rng):
        x = case.inputs[0]
        if dtypes[0] == "float32" and not case.name.startswith("special"):
            # Factors near 1, of both signs, keep the product finite.
            x = (
                rng.uniform(0.95, 1.05, x.shape) * rng.choice([-1, 1], x.shape)
            ).astype("f4")
        elif dtypes[0] != "float32" and not case.name.startswith("special"):
            x = x | 1  # even factors soon leave nothing but 0
        yield Case(case.name, (x,), case.attributes)


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
    reference=along_axes(lambda x, **axes: np.prod(x, dtype=x.dtype, **axes)),
    cases=cases,
    bound=Bound(ulp=32, why="1031 roundings; they add up as a random walk"),
)
