"""out[i] = low + (high - low) * u[i], u[i] in [0, 1) by seed and place

Generator: SplitMix64 by place: bits 11 to 63 of the finalizer over seed + (i + 1) *
0x9e3779b97f4a7c15. Equal seeds give equal numbers everywhere.
Dtypes: computed in float64, rounded once: `high` itself is possible.
Source: ONNX RandomUniform-22, whose seed is a float; MindSpore UniformReal.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Operator
from toolchain.spec.random import SEED, SHAPE, doubles, shapes


def reference(low, high, seed, shape=()):
    return (low + (high - low) * doubles(seed, int(np.prod(shape)))).reshape(shape)


def cases(dtypes, rng):
    for shape in ((), (0,), (1,), (17,), (3, 0, 2), (40, 33), (1, 2, 1, 2, 1, 2, 1, 2)):
        for seed in (0, 1, -5, 2**62):
            given = {"shape": shape, "seed": seed}
            yield Case(f"{shape}-{seed}", (), given)
            yield Case(f"{shape}-{seed}-limits", (), {**given, "low": -3, "high": 9.5})


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(),
    attributes=(
        SHAPE,
        Attribute("low", "float", default=0.0),
        Attribute("high", "float", default=1.0),
        SEED,
    ),
    units=8,
    dtypes=("float32",),
    source="random_uniform.c",
    reference=reference,
    cases=cases,
    bound=Bound(ulp=0.5, absolute=1e-15, why="one rounding of float64"),
)
