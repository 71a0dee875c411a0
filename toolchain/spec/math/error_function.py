"""Error function, and gelu by it and by its approximation with tanh."""

from __future__ import annotations

from typing import NamedTuple

from toolchain.spec.math.blocks import (
    at_least,
    at_most,
    bits_of,
    f32,
    f64,
    float_of,
    i32,
    leading,
    polynomial,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.exponentials import (
    LN2_HI,
    LN2_LO,
    LOG2E,
    NARROW,
    NARROW_BIAS,
    ROUND,
    exp_polynomial,
    expm1_near,
    nearest,
    raised,
    scales,
)
from toolchain.spec.math.instructions import (
    absolute,
    copysign,
)
from toolchain.spec.math.logistic import gated, nan_at_minus_infinity
from toolchain.spec.math.powers import exp2_parts
from toolchain.spec.tvm import Expr, tir

# -log(erfc(a))/a on 0 <= a <= 4: 4.0e-9 of erf(a), 5.2e-8 from rounding the first
ERF = (
    1.128379225730896,
    0.6366150379180908,
    0.10283242166042328,
    -0.01940307393670082,
    0.00037923615309409797,
    0.0010581461247056723,
    -0.0002654577256180346,
    5.957038410997484e-06,
    4.118209744774504e-06,
)
# -2 log(erfc(a/sqrt(2)))/a - a - 3/4 as a quotient for 0 <= a <= GELU_NEAR: 7.4e-9 of
# an exponent that it changes by 0.34 at most
GELU_ABOVE = (
    0.8457688689231873,
    0.11759600788354874,
    -0.009886824525892735,
    -0.009509800001978874,
    -1.5290226656363145e-05,
)
GELU_BELOW = (1.0, 0.5686830282211304, 0.14672155678272247, 0.014242393895983696)
# a exp(a^2/2) erfc(a/sqrt(2))/2 in 1/a^2 for greater a: 2.0e-8
GELU_FAR = (
    0.3989422023296356,
    -0.39890000224113464,
    1.189467430114746,
    -5.4252705574035645,
    21.364643096923828,
)
GELU_NEAR, GELU_NEAR_BITS = 5.5, 0x40B00000


@math_function
def erf(let: Let, x: Expr) -> Expr:
    """Error function of a = |x|: 1 - exp(-a P(a)), with the sign of x.

    a P(a) approximates -log(erfc(a)).

    **Bound** 3 ULP, for |x| < 1e-5; 2 on all of [0.25, 1].
    **Edges** erf(+-inf) = +-1, erf(-0) = -0.
    """
    a = at_most(let, absolute(x), f32(4))  # erf rounds to 1 from 3.92
    return copysign(expm1_near(let, let(-a * leading(let, a, ERF))), x)


class _Tail(NamedTuple):
    """Of gelu's a: its upper 11 bits and an offset, and a (a + offset) less theirs."""

    square: Expr
    rest: Expr


def _tail(let: Let, a: Expr, offset: Expr) -> _Tail:
    upper = let(float_of(bits_of(a) & i32(-8192)))
    moved = let(upper + offset)
    return _Tail(let(upper * moved), let((a - upper) * (a + moved)))


def _gelu_quotient(let: Let, a: Expr) -> tuple[Expr, Expr]:
    above = a * polynomial(let, a, GELU_ABOVE)
    return let(above), let(polynomial(let, a, GELU_BELOW))


def _gelu_reduced(
    let: Let, square: Expr, rest: Expr, offset: float
) -> tuple[Expr, Expr]:
    """(k, r): exp(-(square + rest)/2) = 2^n exp(-r/2)."""
    k, n = nearest(let, (square + rest) * f32(-0.5 * LOG2E), f32(offset))
    return k, let((square + n * f32(2 * LN2_HI)) + (rest + n * f32(2 * LN2_LO)))


@math_function
def gelu(let: Let, x: Expr) -> Expr:
    """Product x (1 + erf(x/sqrt(2)))/2 as max(x, 0) - y, y = a erfc(a/sqrt(2))/2.

    With a = |x|, y = a/2 exp(-(a (a + 3/4) + a Q(a))/2), Q a quotient of polynomials
    that corrects an exponent; a (a + 3/4) is split into an exact product and a small
    rest, so that the negative tail keeps its digits. For a > 5.5,
    y = exp(-a^2/2) P(1/a^2).
    **Bound** 4 ULP.
    **Edges** gelu(-inf) = NaN, as ONNX Runtime and torch; gelu(-0) = -0.
    """
    a = at_most(let, absolute(x), f32(18.7))  # a^2/2 = -EXP_0, nearly
    far = let(a > f32(GELU_NEAR))
    tail = _tail(let, a, let(tir.Select(far, f32(0), f32(0.75))))
    above, below = _gelu_quotient(let, a)
    above = let(tir.Select(far, f32(1), above))
    quotient = let(above / tir.Select(far, a * a, below))
    rest = let(tail.rest + tir.Select(far, f32(0), quotient))
    k, r = _gelu_reduced(let, tail.square, rest, ROUND)
    first, second = scales(let, k)
    half = tir.Select(far, polynomial(let, quotient, GELU_FAR), a * f32(0.5))
    y = let(((exp_polynomial(let, r, 1, -0.5) * first) * half) * second)
    # -0 where y is 0 and x below it
    return nan_at_minus_infinity(x, at_least(let, x, f32(-0.0)) - y)


@short_form(gelu)
def _gelu_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| <= GELU_NEAR."""
    a = let(absolute(x))
    let.within(let(bits_of(a)), None, GELU_NEAR_BITS)
    tail = _tail(let, a, f32(0.75))
    above, below = _gelu_quotient(let, a)
    rest = let(tail.rest + above / below)
    k, r = _gelu_reduced(let, tail.square, rest, NARROW)
    e = raised(exp_polynomial(let, r, 2.0**-NARROW_BIAS, -0.5), k)
    return at_least(let, x, f32(-0.0)) - e * (a * f32(0.5))


@math_function
def gelu_tanh(let: Let, x: Expr) -> Expr:
    """Product x (1 + tanh(u))/2 = x*sigmoid(2u), u in float64.

    u = sqrt(2/pi) (x + 0.044715 x^3).

    **Bound** 3 ULP, near -1.3.
    **Edges** gelu_tanh(-inf) = NaN, as ONNX Runtime and torch; gelu_tanh(-0) = -0.
    """
    below = at_least(let, -absolute(x), f32(-12.96))  # 2u = EXP_0
    a = let(below.astype("float64"))
    scale = 2 * 0.7978845608028654 * LOG2E
    t = let(a * (f64(scale) + (a * a) * f64(0.044715 * scale)))
    m, s = exp2_parts(let, t)
    return gated(let, x, below, m, s)
