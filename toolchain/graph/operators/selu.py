"""out[i] = gamma * x[i] where x[i] >= 0, else gamma * alpha * (exp(x[i]) - 1).

Edges: selu(-0) = -0, selu(-inf) = -gamma * alpha.
Source: ONNX Selu-22; MindSpore SeLU.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

ALPHA, GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def reference(x, alpha, gamma):
    alpha, gamma = (float(np.float32(v)) for v in (alpha, gamma))
    return gamma * np.where(x < 0, alpha * np.expm1(x), x)


def cases(dtypes, rng):
    yield from unary_all(-20, 5)(dtypes, rng)
    for case in unary_all(-20, 5)(dtypes, rng):
        yield Case(f"{case.name}-given", case.inputs, {"alpha": 0.7, "gamma": 3.1})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(
        Attribute("alpha", "float", default=ALPHA),
        Attribute("gamma", "float", default=GAMMA),
    ),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: k.gamma * math.elu(x, k.alpha)),
    reference=reference,
    cases=cases,
    bound=Bound(
        ulp=2.5, why="see toolchain.spec.math.elu; two products round once more"
    ),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
