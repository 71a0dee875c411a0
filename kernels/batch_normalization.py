"""out[o, c, k] = (x[o, c, k] - input_mean[c]) * factor[c] + B[c]

with factor[c] = scale[c] / sqrt(input_var[c] + epsilon).

Shapes: c is axis 1 of x, the others are o and k; out has the shape of x.
Dtypes: float32.
Edges: a variance below -epsilon gives NaN; a difference beyond float32 is an infinity.
Source: ONNX BatchNormalization-15 with training_mode=0; MindSpore BatchNorm.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, te
from toolchain.spec import math as m
from toolchain.spec.cases import SPECIAL, shape_name, values

SHAPES = (
    *((2, 3, n) for n in (0, 1, 3, 4, 5, 15, 16, 17, 1031)),
    *((5, 7), (2, 0, 3), (0, 3, 2), (2, 3, 4, 5), (2, 3, 1, 2, 1, 2, 2, 2)),
)


def compute(k):
    def normalized(i, c, j):
        factor = k.scale[c] / m.sqrt(k.input_var[c] + k.epsilon)
        return (k.x[i, c, j] - k.input_mean[c]) * factor + k.B[c]

    return te.compute((k.o, k.c, k.k), normalized, "out")


def broadcast(x, *parameters):
    return [p.reshape(-1, *[1] * (x.ndim - 2)) for p in parameters]


def reference(x, scale, shift, mean, var, epsilon):
    scale, shift, mean, var = broadcast(x, scale, shift, mean, var)
    return (x - mean) * scale / np.sqrt(var + epsilon) + shift


def magnitude(x, scale, shift, mean, var, epsilon):
    positive = [np.abs(p) for p in (scale, shift, -mean, var)]
    # |x| + |mean| where the reference has x - mean
    scale, shift, mean, var = broadcast(x, *positive)
    return (np.abs(x) + mean) * scale / np.sqrt(var + epsilon) + shift


def cases(dtypes, rng):
    def parameters(count):
        return (
            *(values(rng, (count,), "float32", -2, 2) for _ in range(3)),
            values(rng, (count,), "float32", 0, 4),
        )

    for shape in SHAPES:
        x = values(rng, shape, "float32")
        yield Case(shape_name(shape), (x, *parameters(shape[1])))
    yield Case("epsilon", (x, *parameters(shape[1])), {"epsilon": 0.5})
    edge = np.tile(SPECIAL, (1, 3, 1))
    yield Case("special", (edge, *parameters(3)))


KERNEL = Operator(
    collapse="channels.second",
    inputs=(
        Input("x", "o c k"),
        *(Input(name, "c") for name in ("scale", "B", "input_mean", "input_var")),
    ),
    attributes=(Attribute("epsilon", "float", default=1e-5),),
    dtypes=("float32",),
    absent={"int32": "a quotient of integers", "int8": "a quotient of integers"},
    compute=compute,
    reference=reference,
    reference_scale=magnitude,
    cases=cases,
    bound=Bound(ulp=3, why="six roundings; of |x| + |mean|, scaled, and |B|"),
    aliases=("BatchNorm",),
)
