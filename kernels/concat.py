"""out[..., i, ...] = x_p[..., i - sizes of x_0 to x_(p-1), ...]

Shapes: the inputs differ in the size of `axis` only, and follow each other there.
Edges: inputs of size 0 add nothing.
Source: ONNX Concat-13; MindSpore Concat.
"""

import numpy as np

from toolchain.spec import DTYPES, SAME_WIDTH, Attribute, Case, Input, Operator, te
from toolchain.spec.cases import values

JOINED = (  # shape, axis, sizes along it
    *((((n,), 0, [n])) for n in (0, 1, 17)),
    ((0,), 0, [3, 0, 4, 1]),
    ((0, 5), 0, [2, 1, 7]),
    ((5, 0), -1, [1, 33, 17]),
    ((3, 0, 5), 1, [2, 3]),
    ((3, 0, 5), -2, [1] * 30),
    ((0, 3), 1, [2, 4]),
    ((2, 1, 0, 2, 2, 1, 2, 3), 2, [1, 2]),
    ((0, 1031), 0, [1, 2]),
)


def cases(dtypes, rng):
    for shape, axis, sizes in JOINED:
        parts = []
        for size in sizes:
            part = list(shape)
            part[axis] = size
            parts.append(values(rng, tuple(part), dtypes[0]))
        name = f"rank{len(shape)}-axis{axis}-{len(sizes)}x{sum(sizes)}"
        yield Case(name, tuple(parts), {"axis": axis})


KERNEL = Operator(
    collapse="concat.axis",
    inputs=(Input("x", "n", variadic=True),),
    attributes=(Attribute("axis", kernel=0),),
    dtypes=DTYPES,
    models=("float64",),
    stored_as=SAME_WIDTH,
    compute=lambda k: te.compute((k.n,), lambda i: k.x[i], "out"),
    reference=lambda *parts, axis: np.concatenate(parts, axis),
    cases=cases,
)
