"""out[b, i, ...] = data[b, indices[b, i, 0], indices[b, i, 1], ...]

Shapes: indices [..., k]: each row of k names a part of data, by the k axes after the
first batch_dims, which data and indices share; out has indices' other axes, then what
is left of data's.
Dtypes: indices int32 or int64.
Edges: negative indices count from the end; k = 0 names all of data.
Errors: an index outside its axis, by its place and value; nothing is read then.
Source: ONNX GatherND-13; MindSpore GatherNd.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values

TAKEN = (  # shape, shape of the indices, batch_dims
    ((7, 5), (3, 2), 0),
    ((7, 5), (1031, 2), 0),
    ((7, 5), (2, 3, 1), 0),
    ((7, 33), (17, 1), 0),
    ((7, 5), (2,), 0),
    ((7, 5), (3, 0), 0),
    ((7, 5), (0, 2), 0),
    ((0, 5), (0, 1), 0),
    ((3, 4, 5), (3, 2, 1), 1),
    ((3, 4, 5), (3, 2), 1),
    ((3, 4, 5), (3, 4, 2, 1), 2),
    ((2, 3, 4, 5), (2, 6, 2), 1),
    ((2, 1, 3, 2, 2, 1, 2, 3), (2, 1, 3, 2, 4, 3), 4),
)


def reference(data, indices, batch_dims):
    length = indices.shape[-1]
    rest = data.shape[batch_dims + length :]
    out = np.empty((*indices.shape[:-1], *rest), data.dtype)
    for place in np.ndindex(indices.shape[:-1]):
        at = (*place[:batch_dims], *indices[place])
        out[place] = data[at]
    return out


def cases(dtypes, rng):
    for shape, wanted, batches in TAKEN:
        ends = shape[batches : batches + wanted[-1]]
        columns = [rng.integers(-n, max(n, 1), wanted[:-1]) for n in ends]
        indices = np.stack(columns, -1) if columns else np.zeros(wanted)
        name = f"{shape_name(shape)}-{shape_name(wanted)}-{batches}"
        given = (values(rng, shape, dtypes[0]), indices.astype(dtypes[1]))
        yield Case(name, given, {"batch_dims": batches})


def shapes(call):
    data, indices = call.shape(0), call.shape(1)
    batches = call.integer("batch_dims")
    length = indices[-1] if indices else None
    if data is None or batches is None or not isinstance(length, int):
        return [None]
    return [(*indices[:-1], *data[batches + length :])]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("data", ""), Input("indices", "", dtype=1)),
    attributes=(Attribute("batch_dims", default=0, minimum=0, maximum=7),),
    dtypes=tuple((d, i) for d in DTYPES for i in ("int32", "int64")),
    source="gather_nd.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of data"),
)
