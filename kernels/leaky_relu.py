"""out[i] = x[i] where x[i] >= 0, else alpha * x[i].

Edges: leaky_relu(-0) = -0.
Source: ONNX LeakyRelu-16; MindSpore LeakyReLU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, pointwise, tir
from toolchain.spec.cases import Array, unary_all


def _reference(x: Array, alpha: float) -> Array:
    return np.where(x < 0, float(np.float32(alpha)) * x, x)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from unary_all()(dtypes, rng)
    for case in unary_all()(dtypes, rng):
        yield Case(f"{case.name}-alpha", case.inputs, {"alpha": -0.3})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(Attribute("alpha", "float", default=0.01),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: tir.Select(x < 0, k.alpha * x, x)),
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=0.5, why="one rounding"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
    aliases=("LeakyReLU",),
)
