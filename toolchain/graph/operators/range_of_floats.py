"""out[i] = start + i * delta, for i < ceil((limit - start) / delta)

Dtypes: computed in float64, rounded once.
Edges: no elements where limit is not in delta's direction.
Errors: delta 0 or NaN, an infinite start with an infinite limit.
Source: ONNX Range-11, whose arguments are tensors; MindSpore Range.
"""

from math import ceil, isfinite

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Operator

TAKEN = (
    *((0.0, float(n), 1.0) for n in (0, 1, 3, 4, 5, 17, 1031)),
    *((1.0, 2.0, 0.125), (5.0, -12.0, -1.5), (3.0, 10.0, -1.0), (7.0, 7.0, 1.0)),
    *((0.0, 1.0, 0.1), (-1e30, 1e30, 1e29), (0.0, 1e-40, 1e-42)),
    (1.0, 0.0, np.inf),
)


def reference(start, limit, delta):
    count = max(np.ceil((limit - start) / delta), 0)
    return start + np.arange(count) * delta


def cases(dtypes, rng):
    for start, limit, delta in TAKEN:
        given = {"start": start, "limit": limit, "delta": delta}
        yield Case(f"{start}-{limit}-{delta}", (), given)


def shapes(call):
    numbers = [call.number(name) for name in ("start", "limit", "delta")]
    if not all(isinstance(n, (int, float)) for n in numbers) or not numbers[2]:
        return [(None,)]
    start, limit, delta = numbers
    count = (limit - start) / delta
    return [(max(0, ceil(count)) if isfinite(count) else None,)]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(),
    attributes=(
        Attribute("start", "float", default=0.0),
        Attribute("limit", "float"),
        Attribute("delta", "float", default=1.0),
    ),
    dtypes=("float32",),
    source="range_of_floats.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(ulp=0.5, why="one rounding"),
)
