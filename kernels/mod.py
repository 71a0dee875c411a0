"""out[i] = a[i] - b[i] * q, q = a[i] / b[i] rounded to -inf (fmod 0) or to 0 (fmod 1).

fmod 0 gives the sign of b, as numpy.mod; fmod 1 that of a, as C's fmod.
Dtypes: float32 steps through quotients of 29 bits in float64, which are exact.
Edges: integers: x mod 0 = 0. float32: NaN for b = 0 or infinite a; an infinite b
leaves a, or gives b where fmod 0 wants its sign. A result 0 has that sign too.
Source: ONNX Mod-13, which allows fmod 0 for integers alone; MindSpore FloorMod.
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
    pointwise,
    tir,
)
from toolchain.spec.cases import binary, bits
from toolchain.spec.integers import quotient
from toolchain.spec.math import Let, absolute, copysign, rint


def _integers(let: Let, k: Kernel, a: Expr, b: Expr) -> Expr:
    rest = let(a - let(quotient(let, a, b, k.dtype)) * b)
    rest = let(tir.Select(tir.EQ(b, tir.const(0, k.dtype)), b, rest))
    zero = tir.const(0, k.dtype)
    other = tir.And(tir.NE(rest, zero), (rest ^ b) < zero)
    return rest + tir.Select(tir.And(tir.EQ(k.fmod, 0), other), b, zero)


def _floats(let: Let, k: Kernel, a: Expr, b: Expr) -> Expr:
    """The rest nearest to 0, then the rest of the wanted sign.

    |a / b| < 2^277, so ten quotients of at most 29 bits; times b's 24 bits each
    product is exact, and so is each difference.
    """
    wide, divisor = let(a.astype("float64")), let(b.astype("float64"))
    inverse = let(tir.const(1, "float64") / divisor)
    rest = wide
    for step in reversed(range(10)):
        down = tir.const(2.0 ** (-29 * step), "float64")
        up = tir.const(2.0 ** (29 * step), "float64")
        count = let(rint(rest * (inverse * down)))
        rest = let(rest - count * (divisor * up))
    rest = let(tir.Select(tir.EQ(inverse, tir.const(0, "float64")), wide, rest))
    infinity, nan = (tir.const(float(v), "float64") for v in ("inf", "nan"))
    rest = let(tir.Select(absolute(wide) < infinity, rest, nan))
    like = let(tir.Select(tir.EQ(k.fmod, 0), divisor, wide))
    zero = tir.const(0, "float64")
    other = let((rest < zero) ^ (like < zero))
    moved = let(rest + copysign(absolute(divisor), like))
    signed = let(tir.Select(other, moved, rest))
    return tir.Select(tir.EQ(rest, zero), copysign(zero, like), signed)


def _modulo(k: Kernel, a: Expr, b: Expr) -> Expr:
    let = Let()
    formula = _floats if k.dtype == "float32" else _integers
    return let.around(formula(let, k, a, b))


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    for fmod in (0, 1):
        for case in binary()(dtypes, rng):
            yield Case(f"{case.name}-fmod{fmod}", case.inputs, {"fmod": fmod})
        if dtypes[0] == "float32":
            pair = (bits(rng, 20011), bits(rng, 20011))
            yield Case(f"bits-fmod{fmod}", pair, {"fmod": fmod})


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    attributes=(Attribute("fmod", default=0, minimum=0, maximum=1),),
    dtypes=("float32", "int32", "int8", "int64"),
    models=("float64",),
    models_source="doubles.c",
    compute=pointwise(_modulo),
    reference=lambda a, b, fmod: np.fmod(a, b) if fmod else np.mod(a, b),
    cases=_cases,
    bound=Bound(ulp=0.5, why="exact for fmod 1; a sum of the rest and b else"),
    aliases=("FloorMod",),
)
