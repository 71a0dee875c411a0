"""y = the different slices of x along axis; x[i] = y[inverse_indices[i]]

Attributes: axis is a list of one axis, or empty: then x is one axis, of elements;
sorted=0 leaves slices in the order of their first places.
Shapes: indices (first places), counts and y have a size for each slice of y.
Dtypes: of bools, those of uint8.
Edges: slices compare element by element; NaN equals NaN and is above all others, -0
equals 0, and y has the first of equal slices.
Source: ONNX Unique-11; MindSpore Unique with sorted=0.
"""

from typing import Any

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import SPECIAL, shape_name, values

TAKEN = (  # shape, axis
    *(((n,), axis) for n in (0, 1, 2, 17, 1031) for axis in ([], [0])),
    *(((7, 5), axis) for axis in ([], [0], [1], [-1])),
    ((40, 2, 2), [0]),
    ((2, 40, 2), [1]),
    ((0, 5), [1]),
    ((5, 0), [0]),
    ((), []),
    ((2, 1, 3, 2, 2, 1, 2, 3), [2]),
)


def key(value):
    return (2, 0.0) if value != value else (1, value + 0)


def reference(x, sorted, axis=()):
    at = axis[0] if axis else 0
    moved = np.moveaxis(x, at, 0) if axis else x.reshape(-1)
    rows = [tuple(key(v) for v in row.ravel().tolist()) for row in moved]
    first: dict[Any, int] = {}
    for i, row in enumerate(rows):
        first.setdefault(row, i)
    order = list(first)
    if sorted:
        order.sort()
    number = {row: i for i, row in enumerate(order)}
    inverse = np.array([number[row] for row in rows], np.int64)
    indices = np.array([first[row] for row in order], np.int64)
    counts = np.bincount(inverse, minlength=len(order)).astype(np.int64)
    y = np.take(moved, indices, 0)
    return [np.moveaxis(y, 0, at) if axis else y, indices, inverse, counts]


def cases(dtypes, rng):
    for shape, axis in TAKEN:
        x = values(rng, shape, dtypes[0])
        few = (values(rng, shape, dtypes[0], 0, 9) % np.array(3, x.dtype)) // 1
        for in_order in (0, 1):
            name = f"{shape_name(shape)}-axis{axis}-{in_order}"
            given = {"axis": axis, "sorted": in_order}
            yield Case(name, (x,), given)
            yield Case(f"{name}-few", (few.astype(x.dtype),), given)
    if dtypes[0] == "float32":
        twice = np.concatenate([SPECIAL, SPECIAL[::-1]])
        yield Case("special", (twice,), {"sorted": 1})
        yield Case("special-rows", (twice.reshape(2, -1),), {"axis": [1]})


def shapes(call):
    x, axes = call.shape(0), call.numbers("axis")
    slices = (None,)
    if axes == []:
        y, inverse = slices, (call.count(x),)
    elif x is None or axes is None or not isinstance(axes[0], int):
        y, inverse = None, slices
    else:
        axis = call.axis_of("axis", axes[0], len(x))
        y, inverse = (*x[:axis], None, *x[axis + 1 :]), (x[axis],)
    return [y, slices, inverse, slices]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    outputs=(
        Output("y", late=True),
        Output("indices", dtype="int64", late=True),
        Output("inverse_indices", dtype="int64"),
        Output("counts", dtype="int64", late=True),
    ),
    attributes=(
        Attribute("axis", default=0, per_unit=1),
        Attribute("sorted", default=1, minimum=0, maximum=1),
    ),
    units=1,
    dtypes=DTYPES,
    stored_as={"bool": "uint8"},
    source="unique.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
