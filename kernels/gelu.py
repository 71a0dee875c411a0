"""out[i] = x[i] * (1 + erf(x[i]/sqrt(2))) / 2; approximate "tanh": see below.

approximate "tanh": x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, in float64.
Edges: gelu(-inf) = NaN, as ONNX Runtime and torch; gelu(-0) = -0.
Source: ONNX Gelu-20. MindSpore's GeLU is approximate "tanh" where it runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Buffer,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    pointwise,
    script,
    tir,
)
from toolchain.spec import math as m
from toolchain.spec.arrays import each
from toolchain.spec.cases import Array, unary_all
from toolchain.spec.nest import as_written, nest

FORMS = ("none", "tanh")
erfc = np.vectorize(math.erfc, otypes=["f8"])


def _element(k: Kernel, x: Expr) -> Expr:
    return tir.Select(tir.EQ(k.approximate, 0), m.gelu(x), m.gelu_tanh(x))


def _gelu(k: Kernel) -> Tensor:
    def emit(ins: list[Buffer], out: Buffer) -> None:
        with script.If(tir.EQ(k.approximate, 0)):
            with script.Then():
                each("gelu", ins[0], out, k.n)
            with script.Else():
                each("gelu_tanh", ins[0], out, k.n)

    return nest((k.n,), k.inputs, emit, k.dtype)


def _reference(x: Array, approximate: str) -> Array:
    if approximate == "none":
        result: Array = 0.5 * x * erfc(x / -math.sqrt(2))
    else:
        u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        result = x / (1 + np.exp(-2 * u))
    return result


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    for form in FORMS:
        for case in unary_all(-15, 10)(dtypes, rng):
            yield Case(f"{case.name}-{form}", case.inputs, {"approximate": form})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    attributes=(Attribute("approximate", default=0, choices=FORMS),),
    dtypes=("float32",),
    compute=pointwise(_element, _gelu),
    schedule=as_written,
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=4, why="see toolchain.spec.math.gelu; the tail keeps its digits"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
