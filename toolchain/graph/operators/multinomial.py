"""out[n, i] = the first class c with exp(x[n, 0]) + ... + exp(x[n, c]) > u[n, i] * all

Shapes: x [N, classes], log-probabilities up to a number for each row; out [N,
sample_size]. u as random_uniform has it.
Dtypes: added up in float64; out int32 or int64.
Edges: a class of NaN or -inf is never drawn where there is another.
Source: ONNX Multinomial-22, whose seed is a float; MindSpore Multinomial.
"""

import numpy as np

from toolchain.spec import Attribute, Case, Input, Operator, Output
from toolchain.spec.cases import values
from toolchain.spec.random import SEED, doubles


def reference(x, sample_size, seed):
    out = np.zeros((len(x), sample_size), np.int64)
    u = doubles(seed, out.size).reshape(out.shape)
    for n, row in enumerate(x):
        peak = np.max(np.where(np.isnan(row), -np.inf, row))
        shares = np.where(row == peak, 1.0, np.where(row < peak, np.exp(row - peak), 0))
        sums = np.cumsum(shares)
        found = np.searchsorted(sums, u[n] * sums[-1], "right")
        out[n] = np.minimum(found, row.size - 1)
    return out


def cases(dtypes, rng):
    for shape in ((1, 1), (3, 5), (2, 1031), (0, 4), (1, 17)):
        for count in (0, 1, 40):
            x = values(rng, shape, "float32", -4, 4)
            given = {"sample_size": count, "seed": count + 3}
            yield Case(f"{shape[0]}x{shape[1]}-{count}", (x,), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=lambda call: [((call.shape(0) or [None])[0], call.number("sample_size"))],
    inputs=(Input("x", ""),),
    outputs=(Output(dtype=1),),
    attributes=(Attribute("sample_size", default=1, minimum=0), SEED),
    dtypes=(("float32", "int32"), ("float32", "int64")),
    source="multinomial.c",
    reference=reference,
    cases=cases,
)
