"""out[i] = max(0, x[i]) + min(0, alpha * (exp(x[i] / alpha) - 1)).

Edges: celu(-0) = -0, celu(-inf) = -alpha; alpha is above 0.
Source: ONNX Celu-12; MindSpore CeLU.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, math, pointwise, tir
from toolchain.spec.cases import unary_all
from toolchain.spec.math import Let


def formula(k, x):
    let = Let()
    below = let(k.alpha * math.expm1(x / k.alpha))
    return let.around(tir.Select(x < tir.const(0, "float32"), below, x))


def reference(x, alpha):
    alpha = float(np.float32(alpha))
    return np.where(x < 0, alpha * np.expm1(x / alpha), x)


def cases(dtypes, rng):
    yield from unary_all(-20, 5)(dtypes, rng)
    for case in unary_all(-20, 5)(dtypes, rng):
        for alpha in (0.3, 2.5):
            yield Case(f"{case.name}-{alpha}", case.inputs, {"alpha": alpha})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(Attribute("alpha", "float", default=1.0, minimum=1e-30),),
    dtypes=("float32",),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    bound=Bound(ulp=4, why="see toolchain.spec.math.expm1; a quotient and a product"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
