"""out[i] = mean + scale * n[i], n[i] standard normal by seed and place

n[2 i], n[2 i + 1] = r * (sin t, cos t), r = sqrt(-2 log(1 - u[2 i])), t = 2 pi u[2 i +
1] (Box and Muller), u as random_uniform has it.
Dtypes: r, t, sine and cosine in float32, the rest in float64.
Source: ONNX RandomNormal-22, whose seed is a float; MindSpore StandardNormal.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Operator
from toolchain.spec.random import SEED, SHAPE, cases, doubles, shapes


def normal(seed, count):
    u = doubles(seed, count + count % 2).reshape(-1, 2)
    first = (1 - u[:, 0]).astype("f4").astype("f8")
    turn = (u[:, 1] * (2 * np.pi)).astype("f4").astype("f8")
    pairs = np.sqrt(-2 * np.log(first)) * np.array([np.sin(turn), np.cos(turn)])
    return pairs.T.reshape(-1)[:count]


def reference(mean, scale, seed, shape=()):
    return (mean + scale * normal(seed, int(np.prod(shape)))).reshape(shape)


def magnitude(mean, scale, seed, shape=()):
    return abs(mean) + abs(scale) * np.abs(reference(0, 1, seed, shape))


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(),
    attributes=(
        SHAPE,
        Attribute("mean", "float", default=0.0),
        Attribute("scale", "float", default=1.0),
        SEED,
    ),
    units=8,
    dtypes=("float32",),
    source="random_normal.c",
    reference=reference,
    reference_scale=magnitude,
    cases=cases("scaled", mean=-3, scale=9),
    bound=Bound(ulp=5, why="log, sqrt, a sine and their product"),
)
