"""out[i, d, k] = values[1] where d = indices[i, k], else values[0], for axis 1

Shapes: out has an axis more than indices, of size depth; values [2]: off, on.
Dtypes: indices int32, int64 or float32, whose fraction is dropped; values any.
Edges: indices below 0 count from the end; outside -depth..depth-1, and of a NaN, all
is off.
Source: ONNX OneHot-11, whose depth is a tensor; MindSpore OneHot.
"""

from itertools import product

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import shape_name, values


def reference(indices, on_off, depth, axis):
    with np.errstate(invalid="ignore"):
        whole = np.trunc(indices)
    axis = axis % (indices.ndim + 1)
    places = np.arange(depth).reshape(-1, *[1] * (indices.ndim - axis))
    index = np.expand_dims(np.where(whole < 0, whole + depth, whole), axis)
    return np.where(index == places, on_off[1], on_off[0])


def cases(dtypes, rng):
    for shape, axis in (
        *(((5,), -1), ((5,), 0), ((), -1), ((3, 4), 1), ((3, 4), -3), ((0, 2), 0)),
        *(((2, 3, 17), 2), ((2, 1, 3, 2, 2, 1, 2), -2), ((257,), 1)),
    ):
        for depth in (0, 1, 10):
            indices = rng.integers(-depth - 2, depth + 2, shape).astype(dtypes[0])
            on_off = values(rng, (2,), dtypes[1])
            given = {"depth": depth, "axis": axis}
            name = f"{shape_name(shape)}-axis{axis}-{depth}"
            yield Case(name, (indices, on_off), given)


def shapes(call):
    indices, depth = call.shape(0), call.number("depth")
    if indices is None:
        return [None]
    axis = call.axis("axis", len(indices) + 1)
    if axis is None:
        return [(None,) * (len(indices) + 1)]
    return [(*indices[:axis], depth, *indices[axis:])]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("indices", ""), Input("values", "", dtype=1)),
    outputs=(Output(dtype=1),),
    attributes=(
        Attribute("depth", minimum=0, maximum=2**31 - 1),
        Attribute("axis", default=-1),
    ),
    dtypes=tuple(product(("int32", "int64", "float32"), DTYPES)),
    source="one_hot.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of values"),
)
