"""out[i] = a[i] ^ b[i], with numpy broadcasting.

Dtypes: float32 takes the logarithm and the product in float64; integers multiply.
Edges: float32 as IEEE 754 (x^0 = 1^y = 1, NaN for x < 0 and y not whole). Integers
wrap; a negative exponent gives the true value cut to an integer: 1^y = 1,
(-1)^y = 1 or -1, else 0, and 0 for 0.
Source: ONNX Pow-15, with one dtype for both; MindSpore Pow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import (
    Bound,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    math,
    pointwise,
)
from toolchain.spec.cases import Array, binary, bits, values
from toolchain.spec.nest import as_written
from toolchain.spec.powers import powers


def _power(k: Kernel) -> Expr:
    if k.dtype == "float32":
        return pointwise(lambda k, a, b: math.pow(a, b))(k)
    return powers(k)


def _whole(a: int, b: int) -> int:
    if b >= 0:
        return pow(int(a), int(b), 1 << 32)
    return int(a) ** (b & 1) if a in (1, -1) else 0


def _reference(a: Array, b: Array) -> Array:
    whole = np.vectorize(_whole, otypes=[np.int64])
    result: Array = np.power(a, b) if a.dtype.kind == "f" else whole(a, b)
    return result.astype(a.dtype)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from binary()(dtypes, rng)
    a, b = (values(rng, (5003,), dtypes[0], 0, 30) for _ in range(2))
    if dtypes[0] == "float32":
        yield Case("dense", (a, b - np.float32(15)))
        yield Case("bits", (bits(rng, 20011), bits(rng, 20011)))
        near = 1 + values(rng, (20011,), "float32", -1e-3, 1e-3)
        yield Case("near-1", (near, values(rng, (20011,), "float32", -1e5, 1e5)))
    else:
        yield Case("small", (a, (b & 63).astype(b.dtype)))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("float32", "int32", "int8"),
    models=("float64",),
    models_source="doubles.c",
    compute=_power,
    schedule=as_written,
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=1.5, why="see toolchain.spec.math.pow"),
)
