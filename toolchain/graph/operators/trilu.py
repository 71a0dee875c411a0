"""out[..., i, j] = x[..., i, j] where j >= i + k (upper) or j <= i + k, else 0

Source: ONNX Trilu-14, whose k is a tensor; MindSpore Triu, Tril.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values

TAKEN = ((1, 1), (4, 7), (7, 4), (2, 3, 17, 5), (3, 0), (0, 3), (2, 0, 3), (33, 33))


def reference(x, k, upper):
    i, j = np.ogrid[: x.shape[-2], : x.shape[-1]]
    return np.where(j - i >= k if upper else j - i <= k, x, np.zeros((), x.dtype))


def cases(dtypes, rng):
    for shape in TAKEN:
        x = values(rng, shape, dtypes[0])
        for k in (0, 1, -2, 100, -100, 2**62, -(2**62)):
            for upper in (0, 1):
                name = f"{shape_name(shape)}-{k}-{upper}"
                yield Case(name, (x,), {"k": k, "upper": upper})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    attributes=(
        Attribute("k", default=0, unbounded=True),
        Attribute("upper", default=1, minimum=0, maximum=1),
    ),
    dtypes=DTYPES,
    source="trilu.c",
    shapes=lambda call: [call.shape(0)],
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
