"""out[i] = low + (high - low) * u[i], u[i] in [0, 1) by seed and place

Generator: SplitMix64 by place: bits 11 to 63 of the finalizer over seed + (i + 1) *
0x9e3779b97f4a7c15. Equal seeds give equal numbers everywhere.
Dtypes: computed in float64, rounded once: `high` itself is possible.
Source: ONNX RandomUniform-22, whose seed is a float; MindSpore UniformReal.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Operator
from toolchain.spec.random import SEED, SHAPE, cases, doubles, shapes


def reference(low, high, seed, shape=()):
    return (low + (high - low) * doubles(seed, int(np.prod(shape)))).reshape(shape)


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
    cases=cases("limits", low=-3, high=9.5),
    bound=Bound(ulp=0.5, absolute=1e-15, why="one rounding of float64"),
)
