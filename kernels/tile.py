"""out[i, j] = x[i mod rows, j mod columns]

Shapes: any; repeats has an entry for each axis, which becomes that much longer.
Edges: a repeat of 0 gives an empty result.
Source: ONNX Tile-13, whose repeats are a tensor; MindSpore Tile.
"""

import numpy as np

from toolchain.spec import Attribute, Case
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

TILED = (
    ((), []),
    *(((n,), [3]) for n in (0, 1, 3, 4, 17)),
    ((17,), [0]),
    ((17,), [1]),
    ((3, 5), [2, 3]),
    ((3, 5), [1, 4]),
    ((3, 5), [4, 1]),
    ((2, 1, 33), [1, 5, 2]),
    ((2, 1, 3, 2, 2, 1, 2, 3), [1, 2, 1, 2, 1, 2, 1, 2]),
)


def cases(dtypes, rng):
    for shape, repeats in TILED:
        name = f"{shape_name(shape)}-by-{'_'.join(map(str, repeats))}"
        yield Case(name, (values(rng, shape, dtypes[0]),), {"repeats": repeats})


KERNEL = view_operator(
    "tile",
    (Attribute("repeats", per_unit=1, minimum=0),),
    reference=lambda x, repeats: np.tile(x, repeats),
    cases=cases,
)
