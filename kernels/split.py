"""out_p[i, ...] = x[split[0] + ... + split[p - 1] + i, ...]

Shapes: any; `axis` is cut in as many parts as there are outputs, of the sizes in
split, or where it is left out of equal size with a smaller last one.
Edges: parts may be empty; sizes that do not add up to the axis are an error.
Source: ONNX Split-18, whose split is a tensor; MindSpore Split.
"""

import numpy as np

from toolchain.spec import Attribute, Case, Output
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

CUT = (
    *(((n,), 0, [n]) for n in (0, 1, 17)),
    ((17,), 0, [3, 4, 10]),
    ((17, 5), 0, [0, 16, 1]),
    ((5, 40), 1, [33, 7]),
    ((5, 40), -1, [1] * 40),
    ((3, 6, 4), -2, [2, 1, 3]),
    ((0, 6), 1, [2, 4]),
    ((2, 1, 3, 2, 2, 1, 2, 3), 2, [1, 2]),
)


def cases(dtypes, rng):
    for shape, axis, split in CUT:
        name = f"{shape_name(shape)}-axis{axis}-{len(split)}parts"
        given = {"axis": axis, "split": split}
        yield Case(name, (values(rng, shape, dtypes[0]),), given)
    for size, parts in ((12, 3), (11, 3), (1, 1)):
        given = {"axis": 1, "num_outputs": parts}
        yield Case(
            f"2x{size}-equal{parts}", (values(rng, (2, size), dtypes[0]),), given
        )


def reference(x, axis, split=None, num_outputs=1):
    size = x.shape[axis]
    chunk = -(-size // num_outputs)
    cuts = range(chunk, size, chunk) if split is None else np.cumsum(split)[:-1]
    return np.split(x, cuts, axis)


KERNEL = view_operator(
    "split",
    (
        Attribute("axis", default=0, kernel=0),
        Attribute("split", default=-1, per_unit=1, minimum=-1),
    ),
    outputs=(Output(variadic=True),),
    reference=reference,
    cases=cases,
)
