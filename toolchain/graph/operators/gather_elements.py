"""out[i, j, k] = data[i, indices[i, j, k], k], where `axis` is 1 of 3

Shapes: out has that of indices, whose sizes off the axis are at most those of data.
Dtypes: indices int32 or int64.
Edges: negative indices count from the end.
Errors: an index outside the axis, by its place and value; nothing is read then.
Source: ONNX GatherElements-13; MindSpore GatherD.
"""

import numpy as np

from toolchain.spec import DTYPES, SAME_WIDTH, Attribute, Case, Input, Operator
from toolchain.spec.cases import shape_name, values

TAKEN = (  # shape, axis, shape of the indices
    ((17,), 0, (5,)),
    ((17,), 0, (0,)),
    ((1,), 0, (9,)),
    ((7, 33), 1, (7, 17)),
    ((7, 33), 1, (3, 70)),
    ((7, 33), 0, (20, 33)),
    ((7, 33), -2, (4, 31)),
    ((4, 3, 5), 1, (4, 6, 2)),
    ((4, 3, 5), 2, (2, 3, 1031)),
    ((4, 0, 5), 2, (4, 0, 5)),
    ((2, 1, 3, 2, 2, 1, 2, 3), 3, (2, 1, 3, 5, 2, 1, 1, 3)),
)


def reference(data, indices, axis):
    axis %= data.ndim
    part = tuple(
        slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape)
    )
    return np.take_along_axis(data[part], indices, axis)


def cases(dtypes, rng):
    for shape, axis, wanted in TAKEN:
        size = shape[axis]
        indices = rng.integers(-size, max(size, 1), wanted).astype(dtypes[1])
        data = values(rng, shape, dtypes[0])
        name = f"{shape_name(shape)}-axis{axis}-{shape_name(wanted)}"
        yield Case(name, (data, indices), {"axis": axis})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("data", ""), Input("indices", "", dtype=1)),
    attributes=(Attribute("axis", default=0),),
    dtypes=tuple((d, i) for d in DTYPES for i in ("int32", "int64")),
    stored_as=SAME_WIDTH,
    source="gather_elements.c",
    shapes=lambda call: [call.shape(1)],
    reference=reference,
    cases=cases,
)
