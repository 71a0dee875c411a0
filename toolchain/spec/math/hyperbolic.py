"""Hyperbolic tangent."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    at_least,
    at_most,
    f32,
    float_of,
    i32,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.exponentials import LN2, LOG2E, nearest
from toolchain.spec.tvm import Expr

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
