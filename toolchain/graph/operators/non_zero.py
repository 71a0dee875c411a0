"""out[:, i] = place of the i-th element of x that is not 0

Shapes: out [rank of x, how many], int64; the largest is [rank, elements of x].
Edges: NaN is not 0, -0 is; a scalar has one axis.
Source: ONNX NonZero-13; MindSpore NonZero, transposed.
"""

import numpy as np

from toolchain.spec import DTYPES, Case, Input, Operator, Output
from toolchain.spec.cases import SHAPES, shape_name, special, values


def reference(x):
    return np.stack(np.nonzero(np.atleast_1d(x))).astype(np.int64)


def cases(dtypes, rng):
    for shape in SHAPES:
        x = values(rng, shape, dtypes[0])
        some = np.where(rng.integers(0, 3, shape), x, 0).astype(x.dtype)
        yield Case(shape_name(shape), (some,))
    yield Case("special", (special(dtypes[0]),))
    yield Case("none", (np.zeros((3, 5), dtypes[0]),))


def shapes(call):
    x = call.shape(0)
    return [(None if x is None else max(len(x), 1), None)]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    outputs=(Output(dtype="int64", late=True),),
    dtypes=DTYPES,
    stored_as={"int8": "uint8", "bool": "uint8"},
    source="non_zero.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
)
