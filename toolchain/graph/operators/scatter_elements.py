"""out = data, but out[i, indices[i, j, k], k] gets updates[i, j, k], for axis 1 of 3

Attributes: reduction says how an update joins what is there: none (it replaces it),
add, mul, max, min.
Shapes: updates has that of indices, whose sizes off the axis are at most those of data.
Dtypes: indices int32 or int64; of bools, add and max are or, mul and min are and.
Edges: negative indices count from the end; updates of one element join in order, and
with none the last one stays. Integers wrap. max and min of a NaN are NaN.
Errors: an index outside the axis, by its place and value; nothing is written then.
Source: ONNX ScatterElements-18; MindSpore TensorScatterElements.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values
from toolchain.spec.scatter import JOINS, REDUCTION

TAKEN = (  # shape, axis, shape of the indices
    ((17,), 0, (5,)),
    ((17,), 0, (0,)),
    ((3,), 0, (40,)),
    ((7, 33), 1, (7, 17)),
    ((7, 33), 0, (20, 31)),
    ((4, 3, 5), -2, (4, 6, 2)),
    ((4, 0, 5), 2, (4, 0, 5)),
    ((2, 1, 3, 2, 2, 1, 2, 3), 3, (2, 1, 3, 5, 2, 1, 1, 3)),
)


def reference(data, indices, updates, axis, reduction):
    out, join = data.copy(), JOINS[reduction]
    for place in np.ndindex(indices.shape):
        at = list(place)
        at[axis] = indices[place]
        value = join(out[tuple(at)], updates[place])
        out[tuple(at)] = np.float32(value) if out.dtype == np.float64 else value
    return out


def cases(dtypes, rng):
    for shape, axis, wanted in TAKEN:
        size = shape[axis]
        indices = rng.integers(-size, max(size, 1), wanted).astype(dtypes[1])
        data = values(rng, shape, dtypes[0])
        name = f"{shape_name(shape)}-axis{axis}-{shape_name(wanted)}"
        for reduction in REDUCTION.choices:
            updates = values(rng, wanted, dtypes[0], -2, 2)
            given = {"axis": axis, "reduction": reduction}
            yield Case(f"{name}-{reduction}", (data, indices, updates), given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("data", ""), Input("indices", "", dtype=1), Input("updates", "")),
    attributes=(Attribute("axis", default=0), REDUCTION),
    dtypes=tuple((d, i) for d in DTYPES for i in ("int32", "int64")),
    source="scatter_elements.c",
    shapes=lambda call: [call.shape(0)],
    reference=reference,
    cases=cases,
    bound=Bound(ulp=0.5, why="each step rounds as the reference's"),
)
