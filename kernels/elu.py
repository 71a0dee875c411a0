"""out[i] = x[i] where x[i] >= 0, else alpha * (exp(x[i]) - 1).

Edges: elu(-0) = -0, elu(-inf) = -alpha.
Source: ONNX Elu-22; MindSpore Elu.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, math, pointwise
from toolchain.spec.cases import Array, unary_all


def _reference(x: Array, alpha: float) -> Array:
    return np.where(x < 0, float(np.float32(alpha)) * np.expm1(x), x)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from unary_all(-20, 5)(dtypes, rng)
    for case in unary_all(-20, 5)(dtypes, rng):
        yield Case(f"{case.name}-alpha", case.inputs, {"alpha": 1.7})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(Attribute("alpha", "float", default=1.0),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: math.elu(x, k.alpha)),
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=2, why="see toolchain.spec.math.elu; alpha rounds once more"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
