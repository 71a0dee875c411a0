"""Sine and cosine: the reduction of the argument, then a polynomial by its quadrant."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    NAN,
    bits_of,
    f32,
    f64,
    float_of,
    i32,
    polynomial,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.instructions import (
    absolute,
    instruction,
)
from toolchain.spec.tvm import Expr, tir

# (sin(r) - r)/r^3 and (cos(r) - 1 + r^2/2)/r^4 in r^2 on |r| <= 0.793: 4.2e-9, 1.4e-10
SIN = (-0.16666653752326965, 0.008332107216119766, -0.00019508073455654085)
# pi/2 in float64; HI has 25 bits: exact when multiplied by an integer below 2^28
HALF_PI_HI = 1.5707963109016418
HALF_PI_LO = 1.5893254773528196e-08
CIRCULAR_BITS = 0x4D7FFFFF  # of the last float32 below 2^28
# 1/(2 pi) in float64: parts of 29 bits or less, and one for what is left of 3.4e38
INVERSE_TWO_PI = (
    0.15915494319051504,
    -9.861970528407538e-11,
    -2.98359219573521e-19,
    -1.452834461901058e-28,
    -4.225483628960024e-37,
    9.458140970740169e-46,
)
COS = (0.04166664555668831, -0.0013887297827750444, 2.443008816044312e-05)


def _near_quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): x = n pi/2 + r, q = n mod 4; r exact to float32 for |x| < 2^28."""
    wide = let(x.astype("float64"))
    # Adding 1.5*2^52 leaves the rounded integer in the low bits.
    shifted = let(wide * f64(2 / 3.141592653589793) + f64(1.5 * 2.0**52))
    n = let(shifted - f64(1.5 * 2.0**52))
    r = ((wide - n * f64(HALF_PI_HI)) - n * f64(HALF_PI_LO)).astype("float32")
    return let(tir.reinterpret("int64", shifted).astype("int32") & i32(3)), let(r)


def _far_quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): the same for every x (Payne and Hanek's reduction); NaN at infinities.

    1/(2 pi) is the sum of INVERSE_TWO_PI, each short enough that its product with x is
    exact in float64 and loses its whole periods exactly. What is left of the products
    adds up to the phase. That sum rounds, so the parts are added up again from what the
    quarters of the phase leave of the first: this sum is exact until it is as small as
    the last parts.
    """
    wide = let(x.astype("float64"))
    products = [let(wide * f64(c)) for c in INVERSE_TWO_PI[:-1]]
    parts = [let(p - instruction("roundeven", p)) for p in products]
    parts.append(let(wide * f64(INVERSE_TWO_PI[-1])))
    total = let(sum(parts[1:], parts[0]))
    # Adding 1.5*2^50 leaves the rounded number of quarters in the low bits.
    shifted = let(total + f64(1.5 * 2.0**50))
    rest = let(sum(parts[1:], parts[0] - (shifted - f64(1.5 * 2.0**50))))
    q = let(tir.reinterpret("int64", shifted).astype("int32") & i32(3))
    return q, let((rest * f64(2 * 3.141592653589793)).astype("float32"))


def _quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): the same for every x, as the short form has it where that holds."""
    q, r = _near_quadrant(let, x)
    far_q, far_r = _far_quadrant(let, x)
    near = let(absolute(x) < f32(2.0**28))
    return let(tir.Select(near, q, far_q)), let(tir.Select(near, r, far_r))


def _circular(let: Let, x: Expr, q: Expr, r: Expr, quarter: Expr) -> Expr:
    """Sine of (q + quarter) pi/2 + r: sine or cosine of r by bit 0, the sign by bit 1.

    quarter: 0 or 1 where x has a sine or a cosine.
    """
    turn = let(tir.Select(quarter > f32(0), i32(1), i32(0)))
    minus = let(tir.Select(quarter > f32(0), f32(NAN), f32(0)))  # sin(-0) = -0
    q = let(q + turn)
    square = let(r * r)
    sine = r + (square * r) * polynomial(let, square, SIN)
    cosine = (f32(1) - f32(0.5) * square) + (square * square) * polynomial(
        let, square, COS
    )
    value = let(tir.Select(tir.EQ(q & i32(1), i32(0)), sine, cosine))
    result = float_of(bits_of(value) ^ ((q & i32(2)) << i32(30)))
    return tir.Select(tir.EQ(x, minus), x, result)


@math_function
def circular(let: Let, x: Expr, quarter: Expr) -> Expr:
    """Sine of x + quarter pi/2, quarter 0 or 1: odd and even polynomials.

    The argument is reduced by pi/2 in float64; one function, so that a library with
    sin and cos has the code once.

    **Bound** 2 ULP, also for the 300 arguments nearest to n pi/2.
    **Edges** sin(-0) = -0, cos(+-0) = 1, NaN at infinities.
    """
    return _circular(let, x, *_quadrant(let, x), quarter)


@short_form(circular)
def _circular_short(let: Let, x: Expr, quarter: Expr) -> Expr:
    """The same bits, for |x| < 2^28."""
    let.within(let(bits_of(absolute(x))), None, CIRCULAR_BITS)
    return _circular(let, x, *_near_quadrant(let, x), quarter)


@math_function
def tan(let: Let, x: Expr) -> Expr:
    """Tangent: the quotient of sine and cosine of the reduced argument.

    **Bound** 4 ULP.
    **Edges** tan(-0) = -0, NaN at infinities.
    """
    q, r = _quadrant(let, x)
    square = let(r * r)
    sine = let(r + (square * r) * polynomial(let, square, SIN))
    cosine = let(
        (f32(1) - f32(0.5) * square) + (square * square) * polynomial(let, square, COS)
    )
    odd = let(tir.NE(q & i32(1), i32(0)))
    result = tir.Select(odd, -cosine, sine) / tir.Select(odd, sine, cosine)
    return tir.Select(tir.EQ(x, f32(0)), x, result)


def sin(x: Expr) -> Expr:
    """Sine; see `circular`."""
    return circular(x, f32(0))


def cos(x: Expr) -> Expr:
    """Cosine; see `circular`."""
    return circular(x, f32(1))
