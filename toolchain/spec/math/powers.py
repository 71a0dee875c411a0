"""Logarithm and power."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    INF,
    LARGEST,
    NAN,
    SMALLEST_NORMAL,
    at_least,
    at_most,
    bits_of,
    f32,
    f64,
    float_of,
    i32,
    polynomial,
)
from toolchain.spec.math.definitions import Let, Wide, dtype_of, math_function
from toolchain.spec.math.exponentials import LN2_HI, LN2_LO, round_for_scales, scales
from toolchain.spec.math.instructions import (
    absolute,
    copysign,
    floor,
)
from toolchain.spec.tvm import Expr, tir

# (2^r - 1)/r on |r| <= 0.503: 3.1e-9 of 2^r
EXP2 = (
    0.6931471824645996,
    0.24022647738456726,
    0.055503588169813156,
    0.009618504904210567,
    0.0013391458196565509,
    0.00015327814617194235,
)
# (log(1+f) - f + f^2/2)/f^3 on [sqrt(1/2)-1, sqrt(2)-1]: 5.9e-9 of log(1+f)
LOG = (
    0.3333333134651184,
    -0.250008225440979,
    0.20001249015331268,
    -0.16623324155807495,
    0.14201374351978302,
    -0.13160179555416107,
    0.12763682007789612,
    -0.07636649161577225,
)
# float64: log2((1+s)/(1-s))/s in s^2 on |s| <= 0.1718: 4.3e-12
LOG2 = (
    2.885390081790161,
    0.961796673198144,
    0.5770836159918004,
    0.411670704303096,
    0.34076970906998305,
)


def log_tail(let: Let, f: Expr) -> Expr:
    """log(1 + f) - f on [sqrt(1/2) - 1, sqrt(2) - 1]."""
    square = let(f * f)
    return square * f * polynomial(let, f, LOG) - f32(0.5) * square


def _split(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(e, m): x = 2^e m, m in [sqrt(1/2), sqrt(2)); for 0 < x < inf, else arbitrary."""
    least = 0x3F3504F3  # the bits of sqrt(1/2)
    denormal = let(x < f32(SMALLEST_NORMAL))
    scaled = tir.Select(denormal, x * f32(2.0**23), x)
    origin = tir.Select(denormal, i32(least + (23 << 23)), i32(least))
    offset = let(bits_of(let(scaled)) - origin)
    m = float_of((offset & i32(0x7FFFFF)) + i32(least))
    return let((offset >> i32(23)).astype("float32")), let(m)


@math_function
def log(let: Let, x: Expr) -> Expr:
    """Logarithm: e ln 2 + f - f^2/2 + f^3 P(f), x = 2^e (1 + f).

    **Bound** 1 ULP, also on all of [0.5, 2].
    **Edges** log(0) = -inf (also -0), log(x) = NaN below 0, log(inf) = inf.
    """
    return logarithm(let, x)


def logarithm(let: Let, x: Expr) -> Expr:
    """The body of `log`; x is bound."""
    e, m = _split(let, x)
    f = let(m - f32(1))
    result = (f + (log_tail(let, f) + e * f32(LN2_LO))) + e * f32(LN2_HI)
    finite = tir.Select(x < f32(INF), result, x)
    edge = tir.Select(x < f32(0), f32(NAN), f32(-INF))
    return tir.Select(x <= f32(0), edge, finite)


def log1p(let: Let, x: Expr) -> Expr:
    """log(1 + x) for x >= 0, which is bound; what 1 + x lost is put back."""
    total = let(x + f32(1))
    lost = let((x - (total - f32(1))) / total)
    rest = tir.Select(total < f32(INF), lost, f32(0))
    return logarithm(let, total) + rest


def exp2_parts(let: Let, t: Expr) -> tuple[Expr, Expr]:
    """(m, s): 2^t = m*s, m normal or 0; for a float64 t in [-254, 130]."""
    k, n = round_for_scales(let, t.astype("float32"))
    r = let((t - n.astype("float64")).astype("float32"))
    first, second = scales(let, k)
    return let((f32(1) + r * polynomial(let, r, EXP2)) * first), let(second)


def _log2_magnitude(let: Let, x: Expr) -> Expr:
    """log2(x) in float64 for x >= 0: 4.3e-12 relative; -inf at 0, inf at inf."""
    e, m = _split(let, x)
    edge = tir.Select(tir.EQ(x, f32(0)), f32(-INF), x)
    e = tir.Select(tir.And(x > f32(0), x < f32(INF)), e, edge)
    wide = let(m.astype("float64"))
    s = let((wide - f64(1)) / (wide + f64(1)))
    return e.astype("float64") + s * polynomial(let, let(s * s), LOG2)


@math_function
def pow(let: Let, x: Expr, y: Expr) -> Expr:
    """Power x^y = sign * 2^(y log2|x|), the logarithm and the product in float64.

    **Bound** 1 ULP on 22 million pairs: random bits, results of any size, x near 1.
    **Edges** as IEEE 754 and numpy.power: pow(x, +-0) = pow(1, y) = 1, NaN included;
    pow(-1, +-inf) = 1; NaN for finite x < 0 and y not an integer; x < 0 and an odd y
    give the sign, of 0 and inf too.
    """
    return _power(let, x, y)


@math_function
def pow_wide(let: Let, x: Expr, y: Wide) -> Expr:
    """Pow with a float64 exponent, such as an integer above 2^24: x^y, rounded once."""
    return _power(let, x, y)


def _power(let: Let, x: Expr, y: Expr) -> Expr:
    """x^y in float32, for a float32 x."""
    exact = f32 if dtype_of(y) == "float32" else f64
    magnitude = let(absolute(x))
    # A finite y keeps 0 * y = 0 where |x| = 1.
    exponent = at_least(let, at_most(let, y, exact(LARGEST)), exact(-LARGEST))
    t = let(exponent.astype("float64") * _log2_magnitude(let, magnitude))
    m, s = exp2_parts(let, at_least(let, at_most(let, t, f64(129)), f64(-254)))
    half = let(y * exact(0.5))
    whole = let(tir.EQ(floor(y), y))
    odd = tir.And(whole, tir.NE(floor(half), half))
    power = let(m * s)
    signed = tir.Select(odd, copysign(power, x), power)
    negative = tir.And(x < f32(0), x > f32(-INF))
    real = tir.Select(tir.And(negative, tir.NE(floor(y), y)), f32(NAN), signed)
    one = tir.Or(tir.EQ(x, f32(1)), tir.EQ(y, exact(0)))
    return tir.Select(one, f32(1), real)
