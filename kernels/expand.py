"""out[i, j] = x[0, j], for every axis of x that has size 1

Shapes: x and `shape` broadcast as in numpy, both ways.
Edges: a size of 0 in shape gives an empty result.
Source: ONNX Expand-13, whose shape is a tensor; MindSpore BroadcastTo.
"""

import numpy as np

from toolchain.spec import Attribute, Case
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

EXPANDED = (
    ((), []),
    *(((), [n]) for n in (0, 1, 3, 17)),
    *(((1,), [n]) for n in (0, 1, 1031)),
    ((5, 1), [5, 33]),
    ((1, 33), [5, 33]),
    ((3, 1), [1]),
    ((3, 1), [2, 1, 6]),
    ((4, 1, 17), [1, 3, 1]),
    ((0, 1), [1, 3]),
    ((2, 1, 3, 1, 2, 1), [2, 2, 2, 4, 3, 1, 2, 3]),
)


def cases(dtypes, rng):
    for shape, to in EXPANDED:
        name = f"{shape_name(shape)}-to-{shape_name(tuple(to))}"
        yield Case(name, (values(rng, shape, dtypes[0]),), {"shape": to})


def reference(x, shape):
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))


KERNEL = view_operator(
    "expand",
    (Attribute("shape", per_unit=1, minimum=0),),
    reference=reference,
    cases=cases,
    aliases=("BroadcastTo",),
)
