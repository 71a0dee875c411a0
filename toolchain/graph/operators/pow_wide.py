"""out[i] = a[i] ^ b[i] with whole exponents, with numpy broadcasting.

Edges: as pow, where b is a float64: float32 has no odd numbers above 2^24, with which
-1 and all numbers near 1 have other powers.
Source: ONNX Pow-15, of float32 by int32 or int64.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator, math, pointwise
from toolchain.spec.cases import values

WHOLE = (0, 3, -3, 2**24 + 1, -(2**24) - 1, 2**31 - 1, -(2**31), 2**32 + 1, 2**53 - 1)


def formula(k, a, b):
    return math.pow_wide(a, b.astype("float64"))


def reference(a, b):
    return np.power(a.astype("float64"), b.astype("float64"))


def cases(dtypes, rng):
    edges = (-1, 1, -1.0000001, 0.9999999, -2, 0.0, -0.0, np.nan, np.inf, -np.inf)
    yield Case("whole", (np.array(edges, "float32")[:, None], np.array(WHOLE, "int64")))
    near = 1 + values(rng, (5003,), "float32", -1e-3, 1e-3)
    yield Case("near-1", (near, rng.integers(-(10**5), 10**5, 5003)))
    yield Case("small", (values(rng, (1031,), "float32"), rng.integers(-9, 9, 1031)))
    yield Case("empty", (np.zeros((0, 3), "float32"), np.zeros(3, "int64")))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n", dtype="int64")),
    dtypes=("float32",),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    bound=Bound(ulp=1.5, why="see toolchain.spec.math.pow"),
    absent=dict.fromkeys(("int32", "int8"), "pow takes integers"),
)
