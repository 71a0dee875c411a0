"""out[i, j] = 1 where j = i + k, else 0, in the shape of x

Dtypes: of x, which is not read, and of out.
Source: ONNX EyeLike-22; MindSpore Eye.
"""

from itertools import product

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import shape_name, values


def cases(dtypes, rng):
    for shape in ((4, 7), (7, 4), (3, 0), (0, 3), (17, 17)):
        x = values(rng, shape, dtypes[0])
        for k in (0, 1, -2, 100, -100):
            yield Case(f"{shape_name(shape)}-{k}", (x,), {"k": k})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    outputs=(Output(dtype=1),),
    attributes=(Attribute("k", default=0),),
    dtypes=tuple(product((*DTYPES, "float64"), repeat=2)),
    source="eye_like.c",
    shapes=lambda call: [call.shape(0)],
    reference=lambda x, k: np.eye(x.shape[0], x.shape[1], k),
    cases=cases,
    bound=Bound(why="ones and zeros"),
)
