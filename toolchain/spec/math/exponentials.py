"""exp and its kin: differences, shares of a sum, expm1, elu."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    INF,
    at_least,
    at_most,
    bits_of,
    f32,
    float_of,
    i32,
    polynomial,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.instructions import (
    absolute,
    rint,
)
from toolchain.spec.tvm import Expr, tir

LN2 = 0.6931471805599453
LN2_HI = 0.693145751953125  # 15 bits: exact when multiplied by an integer below 2^9
LN2_LO = LN2 - LN2_HI
LOG2E = 1.4426950408889634
# Adding 1.5*2^23 rounds a small float32 to an integer, which then stands in the low
# bits; 254 (twice the exponent bias) makes half of it a biased exponent.
ROUND = 1.5 * 2.0**23 + 254
# The same where n + 127 is the exponent of a normal power: its least and largest bits.
NEAREST = 1.5 * 2.0**23 + 127
LEAST = 0x4B400001
MOST = 0x4B4000FE
# The same for short forms: n + 64 in 7 bits, or n + 160 with n + 32 in 6 bits.
NARROW_BIAS, NARROW_BITS, NARROW_BASE = 64, 7, 0x4B400000
NARROW = 1.5 * 2.0**23 + NARROW_BIAS
# exp(x) underflows from -104; at -176 n is -254 and `scales` gives 0 outright, so that
# masked operands (-inf) cost no denormal arithmetic, which is three times slower.
EXP_0 = -176.0
OWN = 208.0  # twice 104, beyond which exp(-x) is 0; as n, below 2^9
EXP_SCALED_BITS = 0x42300000  # of 44.0: below it exp_scaled holds


# (exp(r) - 1 - r)/r^2 on |r| <= 0.35: 1.4e-8 of expm1(r), 3.4e-9 of exp(r)
EXP = (
    0.4999999701976776,
    0.16666541993618011,
    0.041667431592941284,
    0.008366875350475311,
    0.001387186348438263,
)


def nearest(let: Let, x: Expr, offset: Expr) -> tuple[Expr, Expr]:
    """(k, n): n = x rounded to an integer; k the bits of x + offset.

    offset: ROUND or another odd multiple of 2^22 and an integer: the bits end with n
    and that integer.
    """
    shifted = let(x + offset)
    return let(bits_of(shifted)), let(shifted - offset)


def round_for_scales(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(k, n): the same, k for `scales`; |x| < 2^15."""
    return nearest(let, x, f32(ROUND))


def scales(let: Let, k: Expr) -> tuple[Expr, Expr]:
    """Two powers of two, normal or 0, whose product is 2^n; k from `round_for_scales`.

    Scaling in two steps reaches denormal results and 2^128. -254 <= n <= 250; for -254
    and -253 the first is 0.
    """
    half = let(k >> i32(1))
    return float_of(half << i32(23)), float_of((k - half) << i32(23))


def _reduced(let: Let, x: Expr, offset: Expr) -> tuple[Expr, Expr]:
    """(k, r): exp(x) = 2^n exp(r), |r| <= ln(2)/2; k, with n, the bits of the sum."""
    k, n = nearest(let, x * f32(LOG2E), offset)
    return k, let((x - n * f32(LN2_HI)) - n * f32(LN2_LO))


def _exp_reduced(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """The same, k for `scales`."""
    return _reduced(let, x, f32(ROUND))


def exp_normal(let: Let, x: Expr, factor: float = 1) -> tuple[Expr, Expr, Expr]:
    """(k, 2^n, r): exp(factor x) = 2^n exp(factor r), |factor r| <= ln(2)/2.

    factor: a power of 2, or its negative. For -126 <= n <= 127, that is
    LEAST <= k <= MOST.
    """
    k, n = nearest(let, x * f32(factor * LOG2E), f32(NEAREST))
    r = let((x - n * f32(LN2_HI / factor)) - n * f32(LN2_LO / factor))
    return k, let(float_of(k << i32(23))), r


def _exp_minus_1(let: Let, r: Expr) -> Expr:
    """exp(r) - 1 on |r| <= 0.35."""
    return r + let(r * r) * let(polynomial(let, r, EXP))


def expm1_near(let: Let, x: Expr) -> Expr:
    """exp(x) - 1 = 2^n p + (2^n - 1), p = exp(r) - 1; for |x| <= 40. -0 gives 0."""
    k, r = _exp_reduced(let, x)
    power = let(float_of((k - i32(127)) << i32(23)))  # k holds n + 254
    return power * _exp_minus_1(let, r) + (power - f32(1))


def exp_polynomial(let: Let, r: Expr, scale: float = 1, factor: float = 1) -> Expr:
    """Scaled exp(factor r), |factor r| <= 0.35; both powers of 2, or negatives."""
    c = [scale * factor**i * v for i, v in enumerate((1, 1, *EXP))]
    square = let(r * r)
    last = let((f32(c[4]) + f32(c[5]) * r) + f32(c[6]) * square)
    middle = let((f32(c[2]) + f32(c[3]) * r) + square * last)
    return let((f32(c[0]) + f32(c[1]) * r) + square * middle)


def exp_parts(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(m, s): exp(x) = m*s, m normal or 0; for x in [EXP_0, 100]."""
    k, r = _exp_reduced(let, x)
    first, second = scales(let, k)
    return let(exp_polynomial(let, r) * first), let(second)


def raised(scaled: Expr, k: Expr) -> Expr:
    """2^n times what was scaled by 2^-NARROW_BIAS; k from `nearest`, n + 64 >= 0."""
    return float_of(bits_of(scaled) + (k << i32(23)))


def _exp_narrow(let: Let, x: Expr, offset: Expr) -> Expr:
    """exp(x), for x and an offset of which n + 64 has 7 bits."""
    k, r = _reduced(let, x, offset)
    let.from_base(k, NARROW_BASE, NARROW_BITS)
    let.having(k, NARROW_BASE)
    return raised(exp_polynomial(let, r, 2.0**-NARROW_BIAS), k)


@math_function
def exp(let: Let, x: Expr) -> Expr:
    """Exponential: 2^n (1 + r + r^2 P(r)), n = round(x/ln 2), r = x - n ln 2.

    **Bound** 1.4 ULP.
    **Edges** exp(-inf) = 0, exp(inf) = inf; denormal below -87.3, 0 below -103.98.
    """
    # exp(89) is inf.
    m, s = exp_parts(let, at_least(let, at_most(let, x, f32(89)), f32(EXP_0)))
    return m * s


@short_form(exp)
def _exp_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| < 44."""
    return _exp_narrow(let, x, f32(NARROW))


@math_function
def exp_difference(let: Let, x: Expr, peak: Expr) -> Expr:
    """exp(x - peak), x <= peak, with the rounding error of the difference applied.

    The error, from Knuth's TwoSum, is at most half an ULP of 104: beyond, exp is 0.
    """
    d = let(x - peak)
    part = let(d - x)
    error = let((x - (d - part)) - (peak + part))
    # Of a difference that is infinite it would be infinite or NaN.
    error = let(tir.Select(error < f32(1), error, f32(1)))
    first, second = exp_parts(let, at_least(let, d, f32(EXP_0)))
    e = let(first * second)
    return e + e * error


def _own(let: Let, peak: Expr) -> tuple[Expr, Expr]:
    """(fits, n): whether |peak| <= OWN; n = round(peak/ln 2) where it is, else 0."""
    fits = let(absolute(peak) <= f32(OWN))
    return fits, let(tir.Select(fits, rint(peak * f32(LOG2E)), f32(0)))


def exp_quotient(let: Let, r: Expr) -> tuple[Expr, Expr]:
    """(a, b): exp(r) = a/b on |r| <= 0.35, by Pade's quotient of degrees 3: 5.7e-9."""
    square = let(r * r)
    odd = let(r * (f32(60) + square))
    even = let(f32(120) + f32(12) * square)
    return let(even + odd), let(even - odd)


def _exp_share(let: Let, r: Expr) -> Expr:
    if let.fused:
        return exp_polynomial(let, r)
    above, below = exp_quotient(let, r)
    return let(above / below)


@math_function
def exp_relative(let: Let, x: Expr, peak: Expr) -> Expr:
    """exp(x - peak) times a factor of `peak` alone, exp of `relative_rest`; x <= peak.

    Where |peak| <= OWN it is exp(x)/2^n, n = round(peak/ln 2): of shares in a sum the
    factor does not matter, and a power of two costs no rounding. Beyond, x - peak is
    exact (Sterbenz), or exp of it is 0. A quotient for exp(r) takes fewer operations
    than the polynomial of `exp` unless they fuse, and 1 ULP.
    """
    fits, own = _own(let, peak)
    d = let(x - let(tir.Select(fits, f32(0), peak)))
    d = at_least(let, d, let(own * f32(LN2) + f32(EXP_0)))
    offset = let(f32(ROUND) - own)
    k, r = _reduced(let, d, offset)
    first, second = scales(let, k)
    return (_exp_share(let, r) * first) * second


@short_form(exp_relative)
def _exp_relative_short(let: Let, x: Expr, peak: Expr) -> Expr:
    """The same bits where |peak| <= OWN, x - peak > -87."""
    fits, own = _own(let, peak)
    # -inf puts all operands beyond the limit.
    offset = let(tir.Select(fits, f32(NEAREST) - own, f32(-INF)))
    k, r = _reduced(let, x, offset)
    let.within(k, LEAST)
    return _exp_share(let, r) * float_of(k << i32(23))


@math_function
def exp_scaled(let: Let, x: Expr) -> Expr:
    """2^64 exp(x) for |x| < 44; arrays have no results where an element is beyond.

    Of shares in a sum the factor does not matter, nor does that of their peak.
    """
    k, r = _reduced(let, x, f32(NARROW))
    let.from_base(k, NARROW_BASE, NARROW_BITS)
    let.having(k, NARROW_BASE)
    return raised(_exp_share(let, r), k)


@math_function
def relative_rest(let: Let, peak: Expr) -> Expr:
    """Logarithm of the factor of `exp_relative`, at most ln(2)/2."""
    fits, own = _own(let, peak)
    rest = (peak - own * f32(LN2_HI)) - own * f32(LN2_LO)
    return tir.Select(fits, rest, f32(0))


@math_function
def expm1(let: Let, x: Expr) -> Expr:
    """Exponential less 1: 2 (h p + (h - 1/2)), h = 2^(n-1), p = exp(r) - 1.

    **Bound** 2 ULP, near 0.37; 1 below 0.
    **Edges** expm1(-0) = -0, expm1(-inf) = -1, expm1(inf) = inf.
    """
    clamped = at_least(let, at_most(let, x, f32(89)), f32(-18))
    k, r = _exp_reduced(let, clamped)
    # k holds n + 254; h leaves room for n = 128.
    h = let(float_of((k - i32(128)) << i32(23)))
    result = f32(2) * (h * _exp_minus_1(let, r) + (h - f32(0.5)))
    return tir.Select(absolute(x) < f32(2.0**-25), x, result)


@math_function
def elu(let: Let, x: Expr, alpha: Expr) -> Expr:
    """alpha*(exp(x) - 1) below 0, x elsewhere.

    **Bound** 1 ULP for alpha = 1; the product with another alpha rounds once more.
    **Edges** elu(-0) = -0, elu(-inf) = -alpha.
    """
    below = at_least(let, at_most(let, x, f32(0)), f32(-18))
    return tir.Select(x < f32(0), alpha * expm1_near(let, below), x)
