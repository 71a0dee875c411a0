"""out[i[perm[0]], i[perm[1]], ...] = x[i[0], i[1], ...]

Shapes: any; axis j of out is axis perm[j] of x; without perm the axes are reversed.
Edges: none; elements are only moved.
Source: ONNX Transpose-21; MindSpore Transpose.
"""

import numpy as np

from toolchain.spec import Attribute, Case
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

PERMUTED = (
    ((), ()),
    *(((n,), (0,)) for n in (0, 1, 17)),
    *(((7, n), (1, 0)) for n in (0, 1, 3, 4, 5, 31, 32, 33, 1031)),
    *(((n, 3), (1, 0)) for n in (3, 4, 15, 17, 1031)),
    *(((3, n), (1, 0)) for n in (3, 4, 15, 17, 1031)),
    *(((n, m), (1, 0)) for n, m in ((64, 128), (16, 17), (47, 33), (95, 67))),
    ((65, 2048), (1, 0)),  # lines of x, then of the output, in the same cache sets
    ((2048, 66), (1, 0)),
    ((20, 3, 37), (2, 1, 0)),
    ((2, 5, 3, 18), (0, 3, 2, 1)),
    ((2, 3, 4), (0, 2, 1)),
    ((2, 3, 4), (1, 0, 2)),
    ((2, 3, 40), (-1, 0, 1)),
    ((2, 3, 4, 5), (0, 2, 3, 1)),
    ((2, 3, 4, 5), (3, 2, 1, 0)),
    ((2, 1, 3, 2, 2, 1, 2, 3), (7, 5, 3, 1, 0, 2, 4, 6)),
)


def cases(dtypes, rng):
    for shape, perm in PERMUTED:
        name = f"{shape_name(shape)}-{'_'.join(map(str, perm))}"
        yield Case(name, (values(rng, shape, dtypes[0]),), {"perm": perm})
    yield Case("reversed", (values(rng, (2, 3, 4), dtypes[0]),))


def reference(x, perm=None):
    return np.transpose(x, perm)


KERNEL = view_operator(
    "transpose",
    (Attribute("perm", default=0, per_unit=1),),
    reference=reference,
    cases=cases,
)
