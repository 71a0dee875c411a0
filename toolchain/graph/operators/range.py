"""out[i] = start + i * delta, as long as it is before limit

Dtypes: integers; range_of_floats has floats.
Edges: no elements where limit is not in delta's direction.
Errors: delta 0.
Source: ONNX Range-11, whose arguments are tensors; MindSpore Range.
"""

import numpy as np

from toolchain.spec import Attribute, Case, Operator

TAKEN = (
    *((0, n, 1) for n in (0, 1, 3, 4, 5, 17, 1031)),
    *((5, -12, -1), (10, 3, -3), (10, 4, -3), (3, 10, -1), (3, -10, 1), (7, 7, 1)),
    *(
        (-2147483648, 2147483647, 1073741824),
        (2147483647, -2147483648, -2147483647),
    ),
)


def reference(start, limit, delta, dtypes):
    return np.array(range(start, limit, delta), dtypes[0])


def cases(dtypes, rng):
    for start, limit, delta in TAKEN:
        given = {"start": start, "limit": limit, "delta": delta}
        yield Case(f"{start}-{limit}-{delta}", (), given)
    if dtypes[0] == "int64":
        given = {"start": -(2**63), "limit": 2**63 - 1, "delta": 2**62}
        yield Case("whole", (), given)


def shapes(call):
    start, limit, delta = map(call.number, ("start", "limit", "delta"))
    if start is None or limit is None or not isinstance(delta, int) or delta == 0:
        return [(None,)]
    span = limit - start if delta > 0 else start - limit
    return [(call.steps(span, abs(delta)),)]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(),
    attributes=(
        Attribute("start", default=0, unbounded=True),
        Attribute("limit", unbounded=True),
        Attribute("delta", default=1, unbounded=True),
    ),
    dtypes=("int32", "int64"),
    source="range.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
)
