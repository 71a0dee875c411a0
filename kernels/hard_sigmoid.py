"""out[i] = max(0, min(1, alpha * x[i] + beta)).

Edges: NaN stays.
Source: ONNX HardSigmoid-22. MindSpore's HSigmoid has alpha 1/6.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    math,
    pointwise,
    tir,
)
from toolchain.spec.cases import Array, unary_all


def _hard_sigmoid(k: Kernel, x: Expr) -> Expr:
    zero, one = (tir.const(v, "float32") for v in (0, 1))
    return math.clamp(k.alpha * x + k.beta, zero, one, k.target.has("simd128"))


def _reference(x: Array, alpha: float, beta: float) -> Array:
    alpha, beta = (float(np.float32(v)) for v in (alpha, beta))
    return np.maximum(0.0, np.minimum(1.0, alpha * x + beta))


def _scale(x: Array, alpha: float, beta: float) -> Array:
    # Where the line is not cut off, |alpha * x| is at most 1 + |beta|.
    return np.minimum(np.abs(alpha * x), 1 + abs(beta)) + abs(beta)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from unary_all()(dtypes, rng)
    for case in unary_all()(dtypes, rng):
        given = {"alpha": -0.7, "beta": 0.1}
        yield Case(f"{case.name}-alpha-beta", case.inputs, given)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(
        Attribute("alpha", "float", default=0.2),
        Attribute("beta", "float", default=0.5),
    ),
    dtypes=("float32",),
    compute=pointwise(_hard_sigmoid),
    reference=_reference,
    reference_scale=_scale,
    cases=_cases,
    bound=Bound(ulp=1, why="two roundings, of what is added up"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
