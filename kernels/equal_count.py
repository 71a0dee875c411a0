"""out[0] = how many i have a[i] = b[i]

Shapes: a and b have one shape, out has shape [1].
Dtypes: counted in int32, of which out has float32, or int32 for integers.
Edges: NaN equals nothing, -0 equals 0; 0 for empty tensors.
Source: MindSpore EqualCount.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator, Output, te, tir
from toolchain.spec.cases import SHAPES, shape_name, special, values


def compute(k):
    r = te.reduce_axis((0, k.n), "r")
    count = te.compute(
        (1,),
        lambda i: te.sum(tir.EQ(k.a[r], k.b[r]).astype("int32"), r),
        "count",
    )
    return te.compute((1,), lambda i: count[i].astype(k.output_dtypes[0]), "out")


def cases(dtypes, rng):
    for shape in SHAPES:
        a = values(rng, shape, dtypes[0])
        b = np.where(rng.random(shape) < 0.5, a, values(rng, shape, dtypes[0]))
        yield Case(shape_name(shape), (a, b.astype(a.dtype)))
    edge = special(dtypes[0])
    yield Case("special", (edge, edge.copy()))
    yield Case("different", (edge, edge[::-1].copy()))


KERNEL = Operator(
    collapse="exact.flat",
    inputs=(Input("a", "n"), Input("b", "n")),
    outputs=(Output(dtype={"float32": "float32", "int32": "int32", "int8": "int32"}),),
    dtypes=("float32", "int32", "int8"),
    compute=compute,
    reference=lambda a, b: np.array([np.count_nonzero(a == b)], np.float64),
    cases=cases,
    bound=Bound(ulp=0.5, why="exact up to 2^24, then one rounding"),
)
