"""out[...] = the determinant of x[..., :, :]

Dtypes: elimination with pivots in float64.
Edges: 1 for matrices of no rows; NaN where the matrix holds one or an infinity, but
where elimination ended before with 0.
Source: ONNX Det-22; MindSpore MatrixDeterminant.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values


def determinant(matrix):
    m, result = matrix.astype("f8").copy(), 1.0
    for c in range(len(m)):
        best = c
        for i in range(c + 1, len(m)):
            best = i if abs(m[i, c]) > abs(m[best, c]) else best
        if best != c:
            m[[c, best]], result = m[[best, c]], -result
        result *= m[c, c]
        if m[c, c] == 0:
            return result
        m[c + 1 :, c + 1 :] -= np.outer(m[c + 1 :, c] / m[c, c], m[c, c + 1 :])
    return result


def reference(x):
    out = np.ones(x.shape[:-2])
    for place in np.ndindex(out.shape):
        out[place] = determinant(x[place])
    return out


def cases(dtypes, rng):
    for shape in (
        *((n, n) for n in (0, 1, 2, 3, 5, 17)),
        *((4, 3, 3), (2, 3, 2, 2), (0, 3, 3), (2, 0, 0)),
    ):
        yield Case(shape_name(shape), (values(rng, shape, "float32", -2, 2),))
    yield Case("singular", (np.ones((3, 4, 4), "f4"),))
    yield Case("turned", (np.eye(6, dtype="f4")[::-1].copy(),))


KERNEL = Operator(
    collapse="own.plain",
    shapes=lambda call: [call.shape(0) and call.shape(0)[:-2]],
    inputs=(Input("x", ""),),
    dtypes=("float32",),
    source="det.c",
    reference=reference,
    cases=cases,
    bound=Bound(ulp=1, why="the reference's steps, in float64"),
)
