"""values[..., i, ...], indices[..., i, ...] = i-th largest of x on axis, its place

Attributes: k; largest=0 gives the smallest, in rising order. Results are always in
order, also with sorted=0.
Dtypes: indices are int64.
Edges: of equal elements the first comes first; -0 equals 0; NaN is above all others.
Errors: k above the size of the axis.
Source: ONNX TopK-11, whose k is a tensor; MindSpore TopK.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import SPECIAL, shape_name, values

TAKEN = (  # shape, axis, k
    *(((17,), 0, k) for k in (0, 1, 2, 16, 17)),
    ((3, 1031), 1, 5),
    ((3, 1031), -1, 1000),
    ((31, 5), 0, 7),
    ((4, 6, 3), 1, 6),
    ((0, 5), 1, 2),
    ((2, 0), 1, 0),
    ((2, 1, 3, 2, 2, 1, 2, 3), 2, 2),
)


def reference(x, k, axis, largest, **given):
    del given  # sorted: results always are
    moved = np.moveaxis(x, axis, -1)
    order = np.empty(moved.shape, np.int64)
    for place in np.ndindex(moved.shape[:-1]):
        row = [(bool(v != v), v.item() if v == v else 0) for v in moved[place]]
        order[place] = sorted(range(len(row)), key=row.__getitem__, reverse=largest)
    order = order[..., :k]
    taken = np.take_along_axis(moved, order, -1)
    return [np.moveaxis(taken, -1, axis), np.moveaxis(order, -1, axis)]


def cases(dtypes, rng):
    for shape, axis, k in TAKEN:
        x = values(rng, shape, dtypes[0])
        few = (values(rng, shape, dtypes[0], 0, 9) % np.array(7, x.dtype)) // 1
        for largest in (1, 0):
            given = {"k": k, "axis": axis, "largest": largest}
            name = f"{shape_name(shape)}-axis{axis}-{k}-{largest}"
            yield Case(name, (x,), given)
            yield Case(f"{name}-ties", (few.astype(x.dtype),), given)
    if dtypes[0] == "float32":
        yield Case("special", (SPECIAL,), {"k": SPECIAL.size})
        yield Case("special-least", (SPECIAL,), {"k": SPECIAL.size, "largest": 0})


def shapes(call):
    x, k = call.shape(0), call.number("k")
    if x is None:
        return [None, None]
    axis = call.axis("axis", len(x))
    if axis is None:
        return [(None,) * len(x)] * 2
    return [(*x[:axis], k, *x[axis + 1 :])] * 2


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    outputs=(Output("values"), Output("indices", dtype="int64")),
    attributes=(
        Attribute("k", minimum=0),
        Attribute("axis", default=-1),
        Attribute("largest", default=1, minimum=0, maximum=1),
        Attribute("sorted", default=1, minimum=0, maximum=1),
    ),
    dtypes=tuple(d for d in DTYPES if d != "bool"),
    source="top_k.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
