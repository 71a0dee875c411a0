"""Hyperbolic tangent."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    NAN,
    at_least,
    at_most,
    f32,
    float_of,
    i32,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.exponentials import (
    EXP_0,
    LN2,
    LOG2E,
    exp_parts,
    expm1_near,
    nearest,
)
from toolchain.spec.math.instructions import absolute, copysign, sqrt
from toolchain.spec.math.powers import log1p, logarithm
from toolchain.spec.tvm import Expr, tir

TANH_BIAS, TANH_BITS, TANH_BASE = 160, 6, 0x4B400080
# tanh(h)/h in h^2 on |h| <= 0.1768: 6.0e-8
TANH = (0.9999999403953552, -0.3333028554916382, 0.1308022141456604)


@math_function
def tanh(let: Let, x: Expr) -> Expr:
    """Hyperbolic tangent ((p + 1) t - (1 - p))/((p + 1) - (1 - p) t), p = 2^n.

    t = tanh(h), 2x = n ln 2 + 2h. Differences in this order leave -0 as it is.
    n ln 2 takes one product: ln 2 has 21 bits in float32, so that it is exact for
    |n| <= 8, beyond which the result hardly depends on h.

    **Bound** 3 ULP, below 0.6.
    **Edges** tanh(+-inf) = +-1, tanh(-0) = -0.
    """
    # tanh rounds to 1 from 9.02.
    near = at_least(let, at_most(let, x, f32(10)), f32(-10))
    return _tanh_narrow(let, near)[1]


@short_form(tanh)
def _tanh_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| < 10.9."""
    k, result = _tanh_narrow(let, x)
    let.from_base(k, TANH_BASE, TANH_BITS)
    return result


def _tanh_narrow(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(k, tanh(x)): k from `nearest`; both sides of the quotient are scaled alike."""
    k, n = nearest(let, x * f32(2 * LOG2E), f32(1.5 * 2.0**23 + TANH_BIAS))
    h = let(x - n * f32(LN2 / 2))
    power, one = let(float_of(k << i32(23))), f32(2.0 ** (TANH_BIAS - 127))
    a, b, c = (f32(v) for v in TANH)
    square = let(h * h)
    t = let(h * (a + square * (b + square * c)))
    total, rest = let(power + one), let(one - power)
    return k, (total * t - rest) / (total - rest * t)


def _growth(let: Let, x: Expr) -> tuple[Expr, Expr, Expr]:
    """(|x|, m, s): exp(|x|) = m*s; infinite from 89, where half of it is not."""
    a = let(absolute(x))
    # exp(90)/2 is inf.
    return a, *exp_parts(let, at_least(let, at_most(let, a, f32(90)), f32(EXP_0)))


@math_function
def sinh(let: Let, x: Expr) -> Expr:
    """Hyperbolic sine (u + u/(u + 1))/2, u = exp(|x|) - 1; exp(|x|)/2 beyond 20.

    **Bound** 3 ULP.
    **Edges** sinh(-0) = -0, sinh(+-inf) = +-inf.
    """
    a, m, s = _growth(let, x)
    u = let(expm1_near(let, at_most(let, a, f32(20))))
    near = (u + u / (u + f32(1))) * f32(0.5)
    half = tir.Select(a > f32(20), m * (s * f32(0.5)), near)
    return copysign(tir.Select(a < f32(2.0**-13), a, half), x)


@math_function
def cosh(let: Let, x: Expr) -> Expr:
    """Hyperbolic cosine (exp(|x|) + exp(-|x|))/2.

    **Bound** 3 ULP.
    **Edges** cosh(+-inf) = inf.
    """
    _, m, s = _growth(let, x)
    half = let(s * f32(0.5))
    return m * half + (f32(0.25) / m) / half


@math_function
def asinh(let: Let, x: Expr) -> Expr:
    """Inverse of sinh: log(1 + a + a^2/(1 + sqrt(a^2 + 1))), a = |x|, with x's sign.

    Beyond 2^30 it is log(a) + ln 2.
    **Bound** 4 ULP.
    **Edges** asinh(-0) = -0, asinh(+-inf) = +-inf.
    """
    a = let(absolute(x))
    far = let(a > f32(2.0**30))
    near = let(at_most(let, a, f32(2.0**30)))
    square = let(near * near)
    rest = let(near + square / (f32(1) + sqrt(square + f32(1))))
    large = logarithm(let, a) + f32(LN2)
    return copysign(tir.Select(far, large, log1p(let, rest)), x)


@math_function
def acosh(let: Let, x: Expr) -> Expr:
    """Inverse of cosh: log(1 + t + sqrt(2t + t^2)), t = x - 1.

    Beyond 2^30 it is log(x) + ln 2.
    **Bound** 4 ULP.
    **Edges** acosh(1) = 0, NaN below 1, acosh(inf) = inf.
    """
    t = let(at_most(let, x, f32(2.0**30)) - f32(1))
    rest = let(t + sqrt(t * f32(2) + t * t))
    large = let(logarithm(let, x) + f32(LN2))
    near = tir.Select(x > f32(2.0**30), large, log1p(let, rest))
    return tir.Select(x < f32(1), f32(NAN), near)


@math_function
def atanh(let: Let, x: Expr) -> Expr:
    """Inverse of tanh: log(1 + 2a/(1 - a))/2, a = |x|, with x's sign.

    **Bound** 4 ULP.
    **Edges** atanh(-0) = -0, atanh(+-1) = +-inf, NaN beyond.
    """
    a = let(absolute(x))
    ratio = let((a + a) / (f32(1) - a))
    half = let(log1p(let, ratio) * f32(0.5))
    inside = tir.Select(a < f32(1), half, ratio)
    return copysign(tir.Select(a > f32(1), f32(NAN), inside), x)
