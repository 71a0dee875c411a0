"""out[n, c] = x[n, c] / (bias + alpha / size * sum_j x[n, j]^2)^beta

j runs over the `size` channels around c: from c - (size - 1) // 2 on, as far as there
are some.
Source: ONNX LRN-13; MindSpore LRN.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values


def reference(x, size, alpha, beta, bias):
    beta, bias = float(np.float32(beta)), float(np.float32(bias))
    total = np.zeros(x.shape)
    for c in range(x.shape[1]):
        around = x[:, max(c - (size - 1) // 2, 0) : c + size // 2 + 1]
        total[:, c] = np.sum(np.square(around), 1)
    return x / (bias + float(np.float32(alpha / size)) * total) ** beta


def cases(dtypes, rng):
    for shape in ((1, 5, 4, 4), (2, 1, 3), (3, 17), (0, 3, 2), (2, 6, 31), (1, 3, 0)):
        x = values(rng, shape, dtypes[0])
        for size in (1, 2, 3, 100):
            yield Case(f"{shape_name(shape)}-{size}", (x,), {"size": size})
        given = {"size": 5, "alpha": 0.3, "beta": 0.4, "bias": 2.0}
        yield Case(f"{shape_name(shape)}-given", (x,), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=lambda call: [call.shape(0)],
    inputs=(Input("x", ""),),
    attributes=(
        Attribute("size", minimum=1),
        Attribute("alpha", "float", default=0.0001),
        Attribute("beta", "float", default=0.75),
        Attribute("bias", "float", default=1.0),
    ),
    dtypes=("float32",),
    source="lrn.c",
    reference=reference,
    cases=cases,
    narrow="squares leave float32",
    bound=Bound(ulp=8, why="a sum of squares, a power of it, a quotient"),
)
