"""Inverses of sine, cosine and tangent."""

from __future__ import annotations

from math import pi

from toolchain.spec.math.blocks import NAN, at_most, f32, leading
from toolchain.spec.math.definitions import Let, math_function
from toolchain.spec.math.instructions import absolute, copysign, sqrt
from toolchain.spec.tvm import Expr, tir

# (asin(a) - a)/a^3 in a^2 on |a| <= 0.5, (atan(a) - a)/a^3 on |a| <= tan(pi/8): as
# the Cephes library has them, 2e-7.
ASIN = (
    1.6666752422e-1,
    7.4953002686e-2,
    4.5470025998e-2,
    2.4181311049e-2,
    4.2163199048e-2,
)
ATAN = (
    -3.33329491539e-1,
    1.99777106478e-1,
    -1.38776856032e-1,
    8.05374449538e-2,
)
TAN_EIGHTH, TAN_THREE_EIGHTHS = 0.4142135623730950, 2.414213562373095


def _asin_parts(let: Let, x: Expr) -> tuple[Expr, Expr, Expr]:
    """(|x|, far, s): asin(|x|) = s, or pi/2 - 2 s where far: |x| > 1/2."""
    a = let(at_most(let, absolute(x), f32(1)))
    far = let(a > f32(0.5))
    square = let(tir.Select(far, (f32(1) - a) * f32(0.5), a * a))
    root = let(tir.Select(far, sqrt(square), a))
    return a, far, let(root + (root * square) * leading(let, square, ASIN))


def _inside(x: Expr, result: Expr) -> Expr:
    """NaN beyond +-1."""
    return tir.Select(absolute(x) > f32(1), f32(NAN), result)


@math_function
def asin(let: Let, x: Expr) -> Expr:
    """Arc sine: of |x| above 1/2 by that of the root of (1 - |x|)/2.

    **Bound** 3 ULP.
    **Edges** asin(-0) = -0, NaN beyond +-1.
    """
    _, far, s = _asin_parts(let, x)
    result = let(tir.Select(far, f32(pi / 2) - f32(2) * s, s))
    return _inside(x, copysign(result, x))


@math_function
def acos(let: Let, x: Expr) -> Expr:
    """Arc cosine: pi/2 - asin(x) near 0, else 2 asin(sqrt((1 - |x|)/2)).

    Below -1/2 it is pi less that.
    **Bound** 3 ULP.
    **Edges** acos(1) = 0, NaN beyond +-1.
    """
    _, far, s = _asin_parts(let, x)
    twice = let(f32(2) * s)
    beyond = tir.Select(x < f32(0), f32(pi) - twice, twice)
    # pi/2 in two parts: the sum is rounded once.
    near = f32(pi / 2) - (copysign(s, x) - f32(pi / 2 - 1.5707963705062866))
    return _inside(x, tir.Select(far, beyond, near))


@math_function
def atan(let: Let, x: Expr) -> Expr:
    """Arc tangent, of 1/|x| or (|x| - 1)/(|x| + 1) beyond tan(pi/8).

    **Bound** 3 ULP.
    **Edges** atan(-0) = -0, atan(+-inf) = +-pi/2.
    """
    a = let(absolute(x))
    far, middle = let(a > f32(TAN_THREE_EIGHTHS)), let(a > f32(TAN_EIGHTH))
    above = let(tir.Select(far, f32(-1), a - f32(1)))
    below = let(tir.Select(far, a, a + f32(1)))
    t = let(tir.Select(middle, above / below, a))
    quarter = tir.Select(far, f32(pi / 2), tir.Select(middle, f32(pi / 4), f32(0)))
    square = let(t * t)
    result = quarter + (t + (t * square) * leading(let, square, ATAN))
    return copysign(result, x)
