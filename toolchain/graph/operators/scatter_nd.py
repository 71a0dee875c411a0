"""out = data, but out[indices[i, 0], indices[i, 1], ...] gets updates[i, ...]

Shapes: indices [..., k]: each row of k names a part of data, by its first k axes;
updates has indices' other axes, then what is left of data's.
Attributes: reduction says how an update joins what is there: none (it replaces it),
add, mul, max, min.
Dtypes: indices int32 or int64; of bools, add and max are or, mul and min are and.
Edges: negative indices count from the end; updates of one part join in order, and
with none the last one stays. Integers wrap. max and min of a NaN are NaN.
Errors: an index outside its axis, by its place and value; nothing is written then.
Source: ONNX ScatterND-18; MindSpore TensorScatterUpdate.
"""

import numpy as np

from toolchain.spec import DTYPES, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values
from toolchain.spec.scatter import JOINS, REDUCTION

TAKEN = (  # shape, shape of the indices
    ((17,), (5, 1)),
    ((7, 5), (60, 2)),
    ((7, 33), (9, 1)),
    ((7, 5), (2, 3, 1)),
    ((7, 5), (2,)),
    ((7, 5), (3, 0)),
    ((7, 5), (0, 2)),
    ((0, 5), (0, 1)),
    ((2, 1, 3, 2, 2, 1, 2, 3), (2, 9, 4)),
)


def reference(data, indices, updates, reduction):
    out, join = data.copy(), JOINS[reduction]
    for place in np.ndindex(indices.shape[:-1]):
        at = tuple(indices[place])
        value = join(out[at], updates[place])
        rounded = out.dtype == np.float64
        out[at] = np.asarray(value, "float32") if rounded else value
    return out


def cases(dtypes, rng):
    for shape, wanted in TAKEN:
        columns = [
            rng.integers(-n, max(n, 1), wanted[:-1]) for n in shape[: wanted[-1]]
        ]
        indices = np.stack(columns, -1) if columns else np.zeros(wanted)
        data = values(rng, shape, dtypes[0])
        rest = (*wanted[:-1], *shape[wanted[-1] :])
        name = f"{shape_name(shape)}-{shape_name(wanted)}"
        for reduction in REDUCTION.choices:
            updates = values(rng, rest, dtypes[0], -2, 2)
            inputs = (data, indices.astype(dtypes[1]), updates)
            yield Case(f"{name}-{reduction}", inputs, {"reduction": reduction})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("data", ""), Input("indices", "", dtype=1), Input("updates", "")),
    attributes=(REDUCTION,),
    dtypes=tuple((d, i) for d in DTYPES for i in ("int32", "int64")),
    source="scatter_nd.c",
    shapes=lambda call: [call.shape(0)],
    reference=reference,
    cases=cases,
    bound=Bound(ulp=0.5, why="each step rounds as the reference's"),
)
