"""Scalar float32 functions as TE expressions: arithmetic, selects and bit patterns.

No function calls a libm, loops or reads a table, so LLVM's loop vectoriser turns
`te.compute((n,), lambda i: exp(x[i]))` into SIMD; on a target without SIMD the same
expressions are scalar code.

**Bounds** are the worst error seen against float64 rounded once to float32, over every
61st float32 bit pattern (70 million) and the neighbourhoods named in the docstrings,
with multiply-adds fused and not fused; denormal results and operands included. NaN
gives NaN; -0 gives -0 where the function is odd.
**Coefficients** were fitted for this file with mpmath: minimax in relative error
(Lawson-weighted least squares), each rounded to float32 in turn and the rest fitted
again. The error of each fit stands beside it.
**Bindings**: results hold `tirx.Let` nodes, so that an argument is computed once and
no select holds a load (TVM would make that select a branch). An expression that is
needed twice goes through `bind`; used twice bare (or inlined twice by a schedule) it
defines a variable twice: `tvm.s_tir.Schedule` refuses that until
`tirx.transform.ConvertSSA` has renamed one.
**Short forms** leave out what operands within limits do not need, like clamps and the
second of two scalings. Arrays go through them by blocks where SIMD is (see
lower/functions.py), so they give the full form's bits, or depend on a whole row.
**Integer arithmetic** stays inside int32, because TVM marks it as free of overflow;
bits are dropped only by shifts and masks.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec

Expr = Any  # a tvm.tirx.PrimExpr; TVM carries no types
P = ParamSpec("P")


class _Tirx:
    """`tvm.tirx`, imported at first use: `import tvm` takes seconds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("tvm.tirx"), name)


tir = _Tirx()


def _dtype(x: Expr) -> str:
    return str(x.expr_ty().dtype)


class Limit(NamedTuple):
    """What the values of an int32 must hold to: folding them leaves `bound` as it is.

    fold: LLVM's name of the operation. free: how many of the lowest bits may change.
    """

    value: Expr
    fold: str
    bound: int
    free: int = 0


class Let:
    """The bindings of one expression, in order: `v = let(value)` names a value.

    limits: where a short form of a function holds. fused: whether multiply-adds are.
    """

    def __init__(self, fused: bool = False) -> None:
        self.fused = fused
        self._bound: list[tuple[Expr, Expr]] = []
        self.limits: list[Limit] = []

    def __call__(self, value: Expr) -> Expr:
        """Bind `value` to a new variable and return that."""
        var = tir.Var(f"t{len(self._bound)}", _dtype(value))
        self._bound.append((var, value))
        return var

    def within(
        self, value: Expr, least: int | None = None, most: int | None = None
    ) -> None:
        """Say that a short form holds only for such values of an int32."""
        if least is not None:
            self.limits.append(Limit(value, "smin", least))
        if most is not None:
            self.limits.append(Limit(value, "smax", most))

    def from_base(self, value: Expr, base: int, bits: int) -> None:
        """Say that a short form holds only for base <= value < base + 2^bits.

        One operation a vector where `within` takes two; base: a multiple of 2^bits.
        Values that lack bits of base it does not see: where they matter, see `having`.
        """
        self.limits.append(Limit(value, "or", base, bits))

    def having(self, value: Expr, base: int) -> None:
        """Say that a short form holds only for values with all bits of base."""
        self.limits.append(Limit(value, "and", base))

    def around(self, result: Expr) -> Expr:
        """Put every binding around `result`."""
        for var, value in reversed(self._bound):
            result = tir.Let(var, value, result)
        return result


def bind(value: Expr, body: Callable[[Expr], Expr]) -> Expr:
    """`body(v)` with v bound to `value`: computed once, however often body uses it."""
    let = Let()
    return let.around(body(let(value)))


SYMBOL = "ops_math_"  # and a name: a function of this file in LLVM IR
_DEFINITIONS: dict[str, Callable[..., Expr]] = {}
_SHORT: dict[str, Callable[..., Expr]] = {}


def _function(
    body: Callable[Concatenate[Let, P], Expr],
) -> Callable[P, Expr]:
    """Turn `f(let, x, ...)` into `f(x, ...)`: a call of a function with that body."""
    name = body.__name__
    _DEFINITIONS[name] = body

    @wraps(body)
    def call(*args: P.args, **kwargs: P.kwargs) -> Expr:
        del kwargs
        return tir.call_pure_extern("float32", f"{SYMBOL}{name}", *args)

    del call.__wrapped__  # its signature shows `let`
    return call


def _short_form(of: Callable[P, Expr]) -> Callable[[Callable[..., Expr]], None]:
    """Register a shorter body of a function, for operands within its let.within()."""

    def register(body: Callable[..., Expr]) -> None:
        _SHORT[of.__name__] = body

    return register


class Definition(NamedTuple):
    """A function's parameters (variables of float32), result and limits of operands."""

    parameters: list[Expr]
    result: Expr
    limits: list[Limit]


def has_short(name: str) -> bool:
    """Whether a function of this file has a short form."""
    return name in _SHORT


def definition(name: str, short: bool = False, fused: bool = False) -> Definition:
    """A function of this file, or its short form.

    fused: where multiply-adds are one operation, whose fastest formula may be another.
    """
    body, let = (_SHORT if short else _DEFINITIONS)[name], Let(fused)
    _, *names = inspect.signature(body).parameters
    parameters = [tir.Var(n, "float32") for n in names]
    result = let.around(body(let, *parameters))
    return Definition(parameters, result, let.limits)


# Building blocks


def _f32(value: float) -> Expr:
    return tir.const(value, "float32")


def _f64(value: float) -> Expr:
    # Never a bare Python float beside a float64: TVM rounds it to float32 first.
    return tir.const(value, "float64")


def _i32(value: int) -> Expr:
    return tir.const(value, "int32")


def _bits(x: Expr) -> Expr:
    return tir.reinterpret("int32", x)


def _float(bits: Expr) -> Expr:
    return tir.reinterpret("float32", bits)


def _polynomial(let: Let, x: Expr, coefficients: Sequence[float]) -> Expr:
    """c[0] + c[1]*x + c[2]*x^2 + ..., in the dtype of x, which is bound.

    Halves that do not wait for each other (Estrin's scheme): a loop's speed is bounded
    by how many steps of such chains a processor can hold, and these are half as long as
    Horner's.
    """
    powers = {1: x}

    def power(n: int) -> Expr:
        if n not in powers:
            powers[n] = let(power(n // 2) * power(n // 2))
        return powers[n]

    def part(c: Sequence[float]) -> Expr:
        if len(c) == 1:
            return tir.const(c[0], _dtype(x))
        middle = 1
        while 3 * middle <= len(c):  # the last power of 2 up to 2/3 of them
            middle *= 2
        return part(c[:middle]) + part(c[middle:]) * power(middle)

    return part(coefficients)


def _leading(let: Let, x: Expr, coefficients: Sequence[float]) -> Expr:
    """The same, where rounding counts: c[0] is added last, in one rounding."""
    first, *rest = coefficients
    return tir.const(first, _dtype(x)) + x * _polynomial(let, x, rest)


def at_least(let: Let, x: Expr, limit: Expr) -> Expr:
    """x, or `limit` where x is below it; NaN stays.

    f32x4.pmax, one x86 instruction where `maximum` takes seven in wasmtime.
    """
    x = let(x)
    return let(tir.Select(x < limit, limit, x))


def at_most(let: Let, x: Expr, limit: Expr) -> Expr:
    """x, or `limit` where x is above it; NaN stays."""
    x = let(x)
    return let(tir.Select(x > limit, limit, x))


def _instruction(name: str, *args: Expr) -> Expr:
    """Call an LLVM intrinsic that is one instruction on wasm, scalar and vector."""
    dtype = _dtype(args[0])
    suffix = dtype.replace("float", "f")
    return tir.call_llvm_pure_intrin(dtype, f"llvm.{name}.{suffix}", *args)


def _both_ways(let: Let, x: Expr, y: Expr, larger: bool) -> tuple[Expr, Expr]:
    """The larger or smaller of x and y by either comparison.

    One of both is NaN where x or y is; else they differ by signs of zeros at most.
    """
    x, y = let(x), let(y)
    if larger:
        return let(tir.Select(x < y, y, x)), let(tir.Select(y < x, x, y))
    return let(tir.Select(y < x, y, x)), let(tir.Select(x < y, x, y))


def maximum(x: Expr, y: Expr, vectors: bool = True) -> Expr:
    """Return max(x, y); NaN where either is NaN, and +0 above -0 (IEEE 754 maximum).

    vectors: whether the target has them. f32x4.max gives NaN of either sign, as engines
    like, by eight x86 instructions; these five give the same bits everywhere. Without
    vectors, where selects are branches and engines swap operands of sums too, and of
    float64, it is the instruction.
    """
    if not vectors or _dtype(x) != "float32":
        return _instruction("maximum", x, y)
    let = Let()
    p, q = _both_ways(let, x, y, larger=True)
    nan = tir.Select(tir.EQ(p, q), _i32(0), _i32(-1))  # all bits set are one
    return let.around(_float((_bits(p) & _bits(q)) | nan))


def minimum(x: Expr, y: Expr, vectors: bool = True) -> Expr:
    """Return min(x, y); NaN where either is NaN, and -0 below +0 (IEEE 754 minimum).

    vectors: as for maximum; three instructions. NaN has the other operand's bits too.
    """
    if not vectors or _dtype(x) != "float32":
        return _instruction("minimum", x, y)
    let = Let()
    p, q = _both_ways(let, x, y, larger=False)
    return let.around(_float(_bits(p) | _bits(q)))


def clamp(x: Expr, low: Expr, high: Expr, vectors: bool = True) -> Expr:
    """Limit x to [low, high], which are constants; NaN stays, and -0 may become 0."""
    if not vectors:
        return minimum(maximum(x, low, vectors), high, vectors)
    let = Let()
    return let.around(at_most(let, at_least(let, x, low), high))


def rint(x: Expr) -> Expr:
    """Round x to an integer, halves to even; -0.3 gives -0. Exact."""
    return _instruction("roundeven", x)


def floor(x: Expr) -> Expr:
    """Return the largest integer <= x. Exact."""
    return _instruction("floor", x)


def ceil(x: Expr) -> Expr:
    """Return the smallest integer >= x. Exact."""
    return _instruction("ceil", x)


def trunc(x: Expr) -> Expr:
    """Drop the fraction of x. Exact."""
    return _instruction("trunc", x)


def sqrt(x: Expr) -> Expr:
    """Take the square root, correctly rounded; NaN below 0, -0 at -0."""
    return _instruction("sqrt", x)


def absolute(x: Expr) -> Expr:
    """|x|, which clears the sign bit (of NaN too)."""
    return _instruction("fabs", x)


def copysign(x: Expr, y: Expr) -> Expr:
    """|x| with the sign bit of y."""
    return _instruction("copysign", x, y)


def is_nan(x: Expr) -> Expr:
    """Whether x is NaN, as a bool, by its bits: TVM simplifies x != x to false."""
    return (_bits(x) & _i32(0x7FFFFFFF)) > _i32(0x7F800000)


INF = float("inf")
NAN = float("nan")
LARGEST = (2 - 2.0**-23) * 2.0**127  # the largest finite float32
SMALLEST_NORMAL = 2.0**-126
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
TANH_BIAS, TANH_BITS, TANH_BASE = 160, 6, 0x4B400080
# n + 127 up to which 143 * 2^n is finite.
LOGISTIC_MOST = 0x4B4000F7
# exp(x) underflows from -104; at -176 n is -254 and `_scales` gives 0 outright, so that
# masked operands (-inf) cost no denormal arithmetic, which is three times slower.
EXP_0 = -176.0
OWN = 208.0  # twice 104, beyond which exp(-x) is 0; as n, below 2^9
EXP_SCALED_BITS = 0x42300000  # of 44.0: below it exp_scaled holds
LOGISTIC_0 = -110.0  # x exp(x) is 0, and less has no power to scale it by


# (exp(r) - 1 - r)/r^2 on |r| <= 0.35: 1.4e-8 of expm1(r), 3.4e-9 of exp(r)
EXP = (
    0.4999999701976776,
    0.16666541993618011,
    0.041667431592941284,
    0.008366875350475311,
    0.001387186348438263,
)
# tanh(h)/h in h^2 on |h| <= 0.1768: 6.0e-8
TANH = (0.9999999403953552, -0.3333028554916382, 0.1308022141456604)
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
# (sin(r) - r)/r^3 and (cos(r) - 1 + r^2/2)/r^4 in r^2 on |r| <= 0.793: 4.2e-9, 1.4e-10
SIN = (-0.16666653752326965, 0.008332107216119766, -0.00019508073455654085)
COS = (0.04166664555668831, -0.0013887297827750444, 2.443008816044312e-05)
# pi/2 in float64; HI has 25 bits: exact when multiplied by an integer below 2^28
HALF_PI_HI = 1.5707963109016418
HALF_PI_LO = 1.5893254773528196e-08
CIRCULAR_BITS = 0x4D7FFFFF  # of the last float32 below 2^28
# 1/(2 pi) in float64: parts of 29 bits or less, and one for what is left of 3.4e38
TURNS = (
    0.15915494319051504,
    -9.861970528407538e-11,
    -2.98359219573521e-19,
    -1.452834461901058e-28,
    -4.225483628960024e-37,
    9.458140970740169e-46,
)
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


# Exponentials


def _nearest(let: Let, x: Expr, offset: Expr) -> tuple[Expr, Expr]:
    """(k, n): n = x rounded to an integer; k the bits of x + offset.

    offset: ROUND or such a number, so that they end with those of n and what it adds.
    """
    shifted = let(x + offset)
    return let(_bits(shifted)), let(shifted - offset)


def _round(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(k, n): the same, k for `_scales`; |x| < 2^15."""
    return _nearest(let, x, _f32(ROUND))


def _scales(let: Let, k: Expr) -> tuple[Expr, Expr]:
    """Two powers of two, normal or 0, whose product is 2^n; k from `_round`.

    Scaling in two steps reaches denormal results and 2^128. -254 <= n <= 250; for -254
    and -253 the first is 0.
    """
    half = let(k >> _i32(1))
    return _float(half << _i32(23)), _float((k - half) << _i32(23))


def _reduced(let: Let, x: Expr, offset: Expr) -> tuple[Expr, Expr]:
    """(k, r): exp(x) = 2^n exp(r), |r| <= ln(2)/2; k, with n, the bits of the sum."""
    k, n = _nearest(let, x * _f32(LOG2E), offset)
    return k, let((x - n * _f32(LN2_HI)) - n * _f32(LN2_LO))


def _exp_reduced(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """The same, k for `_scales`."""
    return _reduced(let, x, _f32(ROUND))


def _exp_normal(let: Let, x: Expr, factor: float = 1) -> tuple[Expr, Expr, Expr]:
    """(k, 2^n, r): exp(factor x) = 2^n exp(factor r), |factor r| <= ln(2)/2.

    factor: a power of 2, or its negative. For -126 <= n <= 127, that is
    LEAST <= k <= MOST.
    """
    k, n = _nearest(let, x * _f32(factor * LOG2E), _f32(NEAREST))
    r = let((x - n * _f32(LN2_HI / factor)) - n * _f32(LN2_LO / factor))
    return k, let(_float(k << _i32(23))), r


def _exp_minus_1(let: Let, r: Expr) -> Expr:
    """exp(r) - 1 on |r| <= 0.35."""
    return r + let(r * r) * let(_polynomial(let, r, EXP))


def _expm1_near(let: Let, x: Expr) -> Expr:
    """exp(x) - 1 = 2^n p + (2^n - 1), p = exp(r) - 1; for |x| <= 40. -0 gives 0."""
    k, r = _exp_reduced(let, x)
    power = let(_float((k - _i32(127)) << _i32(23)))  # k holds n + 254
    return power * _exp_minus_1(let, r) + (power - _f32(1))


def _exp_polynomial(let: Let, r: Expr, scale: float = 1, factor: float = 1) -> Expr:
    """Scaled exp(factor r), |factor r| <= 0.35; both powers of 2, or negatives."""
    c = [scale * factor**i * v for i, v in enumerate((1, 1, *EXP))]
    square = let(r * r)
    last = let((_f32(c[4]) + _f32(c[5]) * r) + _f32(c[6]) * square)
    middle = let((_f32(c[2]) + _f32(c[3]) * r) + square * last)
    return let((_f32(c[0]) + _f32(c[1]) * r) + square * middle)


def _exp_parts(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(m, s): exp(x) = m*s, m normal or 0; for x in [EXP_0, 100]."""
    k, r = _exp_reduced(let, x)
    first, second = _scales(let, k)
    return let(_exp_polynomial(let, r) * first), let(second)


def _raised(scaled: Expr, k: Expr) -> Expr:
    """2^n times what was scaled by 2^-NARROW_BIAS; k from `_nearest`, n + 64 >= 0."""
    return _float(_bits(scaled) + (k << _i32(23)))


def _exp_narrow(let: Let, x: Expr, offset: Expr) -> Expr:
    """exp(x), for x and an offset of which n + 64 has 7 bits."""
    k, r = _reduced(let, x, offset)
    let.from_base(k, NARROW_BASE, NARROW_BITS)
    let.having(k, NARROW_BASE)
    return _raised(_exp_polynomial(let, r, 2.0**-NARROW_BIAS), k)


@_function
def exp(let: Let, x: Expr) -> Expr:
    """Exponential: 2^n (1 + r + r^2 P(r)), n = round(x/ln 2), r = x - n ln 2.

    **Bound** 1.4 ULP.
    **Edges** exp(-inf) = 0, exp(inf) = inf; denormal below -87.3, 0 below -103.98.
    """
    # exp(89) is inf.
    m, s = _exp_parts(let, at_least(let, at_most(let, x, _f32(89)), _f32(EXP_0)))
    return m * s


@_short_form(exp)
def _exp_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| < 44."""
    return _exp_narrow(let, x, _f32(NARROW))


@_function
def exp_difference(let: Let, x: Expr, peak: Expr) -> Expr:
    """exp(x - peak), x <= peak, with the rounding error of the difference applied.

    The error, from Knuth's TwoSum, is at most half an ULP of 104: beyond, exp is 0.
    """
    d = let(x - peak)
    part = let(d - x)
    error = let((x - (d - part)) - (peak + part))
    # Of a difference that is infinite it would be infinite or NaN.
    error = let(tir.Select(error < _f32(1), error, _f32(1)))
    first, second = _exp_parts(let, at_least(let, d, _f32(EXP_0)))
    e = let(first * second)
    return e + e * error


def _own(let: Let, peak: Expr) -> tuple[Expr, Expr]:
    """(fits, n): whether |peak| <= OWN; n = round(peak/ln 2) where it is, else 0."""
    fits = let(absolute(peak) <= _f32(OWN))
    return fits, let(tir.Select(fits, rint(peak * _f32(LOG2E)), _f32(0)))


def _exp_share(let: Let, r: Expr) -> Expr:
    if let.fused:
        return _exp_polynomial(let, r)
    above, below = _exp_sides(let, r)
    return let(above / below)


@_function
def exp_relative(let: Let, x: Expr, peak: Expr) -> Expr:
    """exp(x - peak) times a factor of `peak` alone, exp of `relative_rest`; x <= peak.

    Where |peak| <= OWN it is exp(x)/2^n, n = round(peak/ln 2): of shares in a sum the
    factor does not matter, and a power of two costs no rounding. Beyond, x - peak is
    exact (Sterbenz), or exp of it is 0. A quotient for exp(r) takes fewer operations
    than the polynomial of `exp` unless they fuse, and 1 ULP.
    """
    fits, own = _own(let, peak)
    d = let(x - let(tir.Select(fits, _f32(0), peak)))
    d = at_least(let, d, let(own * _f32(LN2) + _f32(EXP_0)))
    offset = let(_f32(ROUND) - own)
    k, r = _reduced(let, d, offset)
    first, second = _scales(let, k)
    return (_exp_share(let, r) * first) * second


@_short_form(exp_relative)
def _exp_relative_short(let: Let, x: Expr, peak: Expr) -> Expr:
    """The same bits where |peak| <= OWN, x - peak > -87."""
    fits, own = _own(let, peak)
    # -inf puts all operands beyond the limit.
    offset = let(tir.Select(fits, _f32(NEAREST) - own, _f32(-INF)))
    k, r = _reduced(let, x, offset)
    let.within(k, LEAST)
    return _exp_share(let, r) * _float(k << _i32(23))


@_function
def exp_scaled(let: Let, x: Expr) -> Expr:
    """2^64 exp(x) for |x| < 44; arrays have no results where an element is beyond.

    Of shares in a sum the factor does not matter, nor does that of their peak.
    """
    k, r = _reduced(let, x, _f32(NARROW))
    let.from_base(k, NARROW_BASE, NARROW_BITS)
    let.having(k, NARROW_BASE)
    return _raised(_exp_share(let, r), k)


@_function
def relative_rest(let: Let, peak: Expr) -> Expr:
    """Logarithm of the factor of `exp_relative`, at most ln(2)/2."""
    fits, own = _own(let, peak)
    rest = (peak - own * _f32(LN2_HI)) - own * _f32(LN2_LO)
    return tir.Select(fits, rest, _f32(0))


@_function
def expm1(let: Let, x: Expr) -> Expr:
    """Exponential less 1: 2 (h p + (h - 1/2)), h = 2^(n-1), p = exp(r) - 1.

    **Bound** 2 ULP, near 0.37; 1 below 0.
    **Edges** expm1(-0) = -0, expm1(-inf) = -1, expm1(inf) = inf.
    """
    clamped = at_least(let, at_most(let, x, _f32(89)), _f32(-18))
    k, r = _exp_reduced(let, clamped)
    # k holds n + 254; h leaves room for n = 128.
    h = let(_float((k - _i32(128)) << _i32(23)))
    result = _f32(2) * (h * _exp_minus_1(let, r) + (h - _f32(0.5)))
    return tir.Select(absolute(x) < _f32(2.0**-25), x, result)


@_function
def elu(let: Let, x: Expr, alpha: Expr) -> Expr:
    """alpha*(exp(x) - 1) below 0, x elsewhere.

    **Bound** 1 ULP for alpha = 1; the product with another alpha rounds once more.
    **Edges** elu(-0) = -0, elu(-inf) = -alpha.
    """
    below = at_least(let, at_most(let, x, _f32(0)), _f32(-18))
    return tir.Select(x < _f32(0), alpha * _expm1_near(let, below), x)


def _exp_sides(let: Let, r: Expr) -> tuple[Expr, Expr]:
    """(a, b): exp(r) = a/b on |r| <= 0.35, by Pade's quotient of degrees 3: 5.7e-9."""
    square = let(r * r)
    odd = let(r * (_f32(60) + square))
    even = let(_f32(120) + _f32(12) * square)
    return let(even + odd), let(even - odd)


def _logistic(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(m, s): 1/(1 + exp(-x)) = a/(a + 2^n b) = m*s for x >= -110.

    exp(r) = a/b, -x = n ln 2 - r. Where 2^n could overflow, s is 2^-64; it comes last,
    so that a denormal result is rounded once.
    """
    near = at_most(let, x, _f32(87))  # exp(-87) does not change 1
    k, _, r = _exp_normal(let, near, -1)
    low = let(near < _f32(-64))
    power = _float((k - tir.Select(low, _i32(64), _i32(0))) << _i32(23))
    scale = let(tir.Select(low, _f32(2.0**-64), _f32(1)))
    above, below = _exp_sides(let, r)
    return above / (above * scale + power * below), scale


@_function
def sigmoid(let: Let, x: Expr) -> Expr:
    """Logistic 1/(1 + exp(-x)).

    **Bound** 2 ULP.
    **Edges** sigmoid(-inf) = 0, sigmoid(inf) = 1.
    """
    m, s = _logistic(let, at_least(let, x, _f32(LOGISTIC_0)))
    return m * s


@_short_form(sigmoid)
def _sigmoid_short(let: Let, x: Expr) -> Expr:
    """The same bits, for -83.5 < x < 87.6."""
    k, power, r = _exp_normal(let, x, -1)
    let.within(k, LEAST, LOGISTIC_MOST)
    above, below = _exp_sides(let, r)
    return above / (above + power * below)


def _nan_at_minus_infinity(x: Expr, result: Expr) -> Expr:
    """x*f(x) with f(-inf) = 0: NaN, as ONNX Runtime, torch and IEEE products say."""
    # All bits set are a NaN; a select would take three instructions.
    mark = tir.Select(tir.EQ(x, _f32(-INF)), _i32(-1), _i32(0))
    return _float(_bits(result) | mark)


def _gated(let: Let, x: Expr, below: Expr, m: Expr, s: Expr) -> Expr:
    """below*e/(1 + e) where x < 0, x/(1 + e) elsewhere; e = m*s <= 1, m and s normal.

    `below` is -|x|, clamped where the result has become 0. s comes last, so that a
    denormal e does not cost the product its digits.
    """
    negative = let(x < _f32(0))
    ratio = tir.Select(negative, below * m, x) / (_f32(1) + m * s)
    result = ratio * tir.Select(negative, s, _f32(1))
    return _nan_at_minus_infinity(x, result)


@_function
def silu(let: Let, x: Expr) -> Expr:
    """Product x*sigmoid(x).

    **Bound** 3 ULP, also on all of [-2, -1].
    **Edges** silu(-inf) = NaN, as ONNX Runtime and torch; silu(-0) = -0.
    """
    below = at_least(let, x, _f32(LOGISTIC_0))
    m, s = _logistic(let, below)
    return _nan_at_minus_infinity(x, below * m * s)


@_function
def softplus(let: Let, x: Expr) -> Expr:
    """Logarithm of 1 + exp(x): max(x, 0) + log(1 + e), e = exp(-|x|).

    **Bound** 2 ULP.
    **Edges** softplus(-inf) = 0, softplus(inf) = inf.
    """
    m, s = _exp_parts(let, at_least(let, -absolute(x), _f32(EXP_0)))
    e = let(m * s)
    # 1 + e = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]
    upper = let(e > _f32(0.41421356))
    f = let(tir.Select(upper, (e - _f32(1)) * _f32(0.5), e))
    return tir.Select(x < _f32(0), _f32(0), x) + (
        tir.Select(upper, _f32(LN2), _f32(0)) + (f + _log_tail(let, f))
    )


# Logarithm and power


def _log_tail(let: Let, f: Expr) -> Expr:
    """log(1 + f) - f on [sqrt(1/2) - 1, sqrt(2) - 1]."""
    square = let(f * f)
    return square * f * _polynomial(let, f, LOG) - _f32(0.5) * square


def _split(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(e, m): x = 2^e m, m in [sqrt(1/2), sqrt(2)); for 0 < x < inf, else arbitrary."""
    least = 0x3F3504F3  # the bits of sqrt(1/2)
    denormal = let(x < _f32(SMALLEST_NORMAL))
    scaled = tir.Select(denormal, x * _f32(2.0**23), x)
    origin = tir.Select(denormal, _i32(least + (23 << 23)), _i32(least))
    offset = let(_bits(let(scaled)) - origin)
    m = _float((offset & _i32(0x7FFFFF)) + _i32(least))
    return let((offset >> _i32(23)).astype("float32")), let(m)


@_function
def log(let: Let, x: Expr) -> Expr:
    """Logarithm: e ln 2 + f - f^2/2 + f^3 P(f), x = 2^e (1 + f).

    **Bound** 1 ULP, also on all of [0.5, 2].
    **Edges** log(0) = -inf (also -0), log(x) = NaN below 0, log(inf) = inf.
    """
    e, m = _split(let, x)
    f = let(m - _f32(1))
    result = (f + (_log_tail(let, f) + e * _f32(LN2_LO))) + e * _f32(LN2_HI)
    finite = tir.Select(x < _f32(INF), result, x)
    edge = tir.Select(x < _f32(0), _f32(NAN), _f32(-INF))
    return tir.Select(x <= _f32(0), edge, finite)


def _exp2_parts(let: Let, t: Expr) -> tuple[Expr, Expr]:
    """(m, s): 2^t = m*s, m normal or 0; for a float64 t in [-254, 130]."""
    k, n = _round(let, t.astype("float32"))
    r = let((t - n.astype("float64")).astype("float32"))
    first, second = _scales(let, k)
    return let((_f32(1) + r * _polynomial(let, r, EXP2)) * first), let(second)


def _log2_magnitude(let: Let, x: Expr) -> Expr:
    """log2(x) in float64 for x >= 0: 4.3e-12 relative; -inf at 0, inf at inf."""
    e, m = _split(let, x)
    edge = tir.Select(tir.EQ(x, _f32(0)), _f32(-INF), x)
    e = tir.Select(tir.And(x > _f32(0), x < _f32(INF)), e, edge)
    wide = let(m.astype("float64"))
    s = let((wide - _f64(1)) / (wide + _f64(1)))
    return e.astype("float64") + s * _polynomial(let, let(s * s), LOG2)


@_function
def pow(let: Let, x: Expr, y: Expr) -> Expr:
    """Power x^y = sign * 2^(y log2|x|), the logarithm and the product in float64.

    **Bound** 1 ULP on 22 million pairs: random bits, results of any size, x near 1.
    **Edges** as IEEE 754 and numpy.power: pow(x, +-0) = pow(1, y) = 1, NaN included;
    pow(-1, +-inf) = 1; NaN for finite x < 0 and y not an integer; x < 0 and an odd y
    give the sign, of 0 and inf too.
    """
    magnitude = let(absolute(x))
    # A finite y keeps 0 * y = 0 where |x| = 1.
    exponent = at_least(let, at_most(let, y, _f32(LARGEST)), _f32(-LARGEST))
    t = let(exponent.astype("float64") * _log2_magnitude(let, magnitude))
    m, s = _exp2_parts(let, at_least(let, at_most(let, t, _f64(129)), _f64(-254)))
    half = let(y * _f32(0.5))
    whole = let(tir.EQ(floor(y), y))
    odd = tir.And(whole, tir.NE(floor(half), half))
    power = let(m * s)
    signed = tir.Select(odd, copysign(power, x), power)
    negative = tir.And(x < _f32(0), x > _f32(-INF))
    real = tir.Select(tir.And(negative, tir.NE(floor(y), y)), _f32(NAN), signed)
    one = tir.Or(tir.EQ(x, _f32(1)), tir.EQ(y, _f32(0)))
    return tir.Select(one, _f32(1), real)


# Circular functions


def _near_quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): x = n pi/2 + r, q = n mod 4; r exact to float32 for |x| < 2^28."""
    wide = let(x.astype("float64"))
    # Adding 1.5*2^52 leaves the rounded integer in the low bits.
    shifted = let(wide * _f64(2 / 3.141592653589793) + _f64(1.5 * 2.0**52))
    n = let(shifted - _f64(1.5 * 2.0**52))
    r = ((wide - n * _f64(HALF_PI_HI)) - n * _f64(HALF_PI_LO)).astype("float32")
    return let(tir.reinterpret("int64", shifted).astype("int32") & _i32(3)), let(r)


def _far_quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): the same for every x (Payne and Hanek's reduction); NaN at infinities.

    1/(2 pi) is cut into TURNS, so that each product with x is exact in float64 and
    loses its whole turns exactly. Their sum rounds; so does a second one, but that
    starts from what the quarter turns leave: where the rest is small, it is exact
    until the parts are as small.
    """
    wide = let(x.astype("float64"))
    products = [let(wide * _f64(c)) for c in TURNS[:-1]]
    parts = [let(p - _instruction("roundeven", p)) for p in products]
    parts.append(let(wide * _f64(TURNS[-1])))
    total = let(sum(parts[1:], parts[0]))
    # Adding 1.5*2^50 leaves the rounded number of quarters in the low bits.
    shifted = let(total + _f64(1.5 * 2.0**50))
    rest = let(sum(parts[1:], parts[0] - (shifted - _f64(1.5 * 2.0**50))))
    q = let(tir.reinterpret("int64", shifted).astype("int32") & _i32(3))
    return q, let((rest * _f64(2 * 3.141592653589793)).astype("float32"))


def _quadrant(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(q, r): the same for every x, as the short form has it where that holds."""
    q, r = _near_quadrant(let, x)
    far_q, far_r = _far_quadrant(let, x)
    near = let(absolute(x) < _f32(2.0**28))
    return let(tir.Select(near, q, far_q)), let(tir.Select(near, r, far_r))


def _circular(let: Let, x: Expr, q: Expr, r: Expr, quarter: Expr) -> Expr:
    """Sine of (q + quarter) pi/2 + r: sine or cosine of r by bit 0, the sign by bit 1.

    quarter: 0 or 1 where x has a sine or a cosine.
    """
    turn = let(tir.Select(quarter > _f32(0), _i32(1), _i32(0)))
    minus = let(tir.Select(quarter > _f32(0), _f32(NAN), _f32(0)))  # sin(-0) = -0
    q = let(q + turn)
    square = let(r * r)
    sine = r + (square * r) * _polynomial(let, square, SIN)
    cosine = (_f32(1) - _f32(0.5) * square) + (square * square) * _polynomial(
        let, square, COS
    )
    value = let(tir.Select(tir.EQ(q & _i32(1), _i32(0)), sine, cosine))
    result = _float(_bits(value) ^ ((q & _i32(2)) << _i32(30)))
    return tir.Select(tir.EQ(x, minus), x, result)


@_function
def circular(let: Let, x: Expr, quarter: Expr) -> Expr:
    """Sine of x + quarter pi/2, quarter 0 or 1: odd and even polynomials.

    The argument is reduced by pi/2 in float64; one function, so that a library with
    sin and cos has the code once.

    **Bound** 2 ULP, also for the 300 arguments nearest to n pi/2.
    **Edges** sin(-0) = -0, cos(+-0) = 1, NaN at infinities.
    """
    return _circular(let, x, *_quadrant(let, x), quarter)


@_short_form(circular)
def _circular_short(let: Let, x: Expr, quarter: Expr) -> Expr:
    """The same bits, for |x| < 2^28."""
    let.within(let(_bits(absolute(x))), None, CIRCULAR_BITS)
    return _circular(let, x, *_near_quadrant(let, x), quarter)


def sin(x: Expr) -> Expr:
    """Sine; see `circular`."""
    return circular(x, _f32(0))


def cos(x: Expr) -> Expr:
    """Cosine; see `circular`."""
    return circular(x, _f32(1))


# Saturating functions


@_function
def tanh(let: Let, x: Expr) -> Expr:
    """Hyperbolic tangent ((p + 1) t - (1 - p))/((p + 1) - (1 - p) t), p = 2^n.

    t = tanh(h), 2x = n ln 2 + 2h. Differences in this order leave -0 as it is.
    n ln 2 takes one product: ln 2 has 21 bits in float32, so that it is exact for
    |n| <= 8, beyond which the result hardly depends on h.

    **Bound** 3 ULP, below 0.6.
    **Edges** tanh(+-inf) = +-1, tanh(-0) = -0.
    """
    # tanh rounds to 1 from 9.02.
    near = at_least(let, at_most(let, x, _f32(10)), _f32(-10))
    return _tanh_narrow(let, near)[1]


@_short_form(tanh)
def _tanh_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| < 10.9."""
    k, result = _tanh_narrow(let, x)
    let.from_base(k, TANH_BASE, TANH_BITS)
    return result


def _tanh_narrow(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(k, tanh(x)): k from `_nearest`; both sides of the quotient are scaled alike."""
    k, n = _nearest(let, x * _f32(2 * LOG2E), _f32(1.5 * 2.0**23 + TANH_BIAS))
    h = let(x - n * _f32(LN2 / 2))
    power, one = let(_float(k << _i32(23))), _f32(2.0 ** (TANH_BIAS - 127))
    a, b, c = (_f32(v) for v in TANH)
    square = let(h * h)
    t = let(h * (a + square * (b + square * c)))
    total, rest = let(power + one), let(one - power)
    return k, (total * t - rest) / (total - rest * t)


@_function
def erf(let: Let, x: Expr) -> Expr:
    """Error function of a = |x|: 1 - exp(-a P(a)), with the sign of x.

    a P(a) approximates -log(erfc(a)).

    **Bound** 3 ULP, for |x| < 1e-5; 2 on all of [0.25, 1].
    **Edges** erf(+-inf) = +-1, erf(-0) = -0.
    """
    a = at_most(let, absolute(x), _f32(4))  # erf rounds to 1 from 3.92
    return copysign(_expm1_near(let, let(-a * _leading(let, a, ERF))), x)


class _Tail(NamedTuple):
    """Of gelu's a: its upper 11 bits and an offset, and a (a + offset) less theirs."""

    square: Expr
    rest: Expr


def _tail(let: Let, a: Expr, offset: Expr) -> _Tail:
    upper = let(_float(_bits(a) & _i32(-8192)))
    moved = let(upper + offset)
    return _Tail(let(upper * moved), let((a - upper) * (a + moved)))


def _gelu_quotient(let: Let, a: Expr) -> tuple[Expr, Expr]:
    above = a * _polynomial(let, a, GELU_ABOVE)
    return let(above), let(_polynomial(let, a, GELU_BELOW))


def _gelu_reduced(
    let: Let, square: Expr, rest: Expr, offset: float
) -> tuple[Expr, Expr]:
    """(k, r): exp(-(square + rest)/2) = 2^n exp(-r/2)."""
    k, n = _nearest(let, (square + rest) * _f32(-0.5 * LOG2E), _f32(offset))
    return k, let((square + n * _f32(2 * LN2_HI)) + (rest + n * _f32(2 * LN2_LO)))


@_function
def gelu(let: Let, x: Expr) -> Expr:
    """Product x (1 + erf(x/sqrt(2)))/2 as max(x, 0) - y, y = a erfc(a/sqrt(2))/2.

    With a = |x|, y = a/2 exp(-(a (a + 3/4) + a Q(a))/2), Q a quotient of polynomials
    that corrects an exponent; a (a + 3/4) is split into an exact product and a small
    rest, so that the negative tail keeps its digits. For a > 5.5,
    y = exp(-a^2/2) P(1/a^2).
    **Bound** 4 ULP.
    **Edges** gelu(-inf) = NaN, as ONNX Runtime and torch; gelu(-0) = -0.
    """
    a = at_most(let, absolute(x), _f32(18.7))  # a^2/2 = -EXP_0, nearly
    far = let(a > _f32(GELU_NEAR))
    tail = _tail(let, a, let(tir.Select(far, _f32(0), _f32(0.75))))
    above, below = _gelu_quotient(let, a)
    above = let(tir.Select(far, _f32(1), above))
    quotient = let(above / tir.Select(far, a * a, below))
    rest = let(tail.rest + tir.Select(far, _f32(0), quotient))
    k, r = _gelu_reduced(let, tail.square, rest, ROUND)
    first, second = _scales(let, k)
    half = tir.Select(far, _polynomial(let, quotient, GELU_FAR), a * _f32(0.5))
    y = let(((_exp_polynomial(let, r, 1, -0.5) * first) * half) * second)
    # -0 where y is 0 and x below it
    return _nan_at_minus_infinity(x, at_least(let, x, _f32(-0.0)) - y)


@_short_form(gelu)
def _gelu_short(let: Let, x: Expr) -> Expr:
    """The same bits, for |x| <= GELU_NEAR."""
    a = let(absolute(x))
    let.within(let(_bits(a)), None, GELU_NEAR_BITS)
    tail = _tail(let, a, _f32(0.75))
    above, below = _gelu_quotient(let, a)
    rest = let(tail.rest + above / below)
    k, r = _gelu_reduced(let, tail.square, rest, NARROW)
    e = _raised(_exp_polynomial(let, r, 2.0**-NARROW_BIAS, -0.5), k)
    return at_least(let, x, _f32(-0.0)) - e * (a * _f32(0.5))


@_function
def gelu_tanh(let: Let, x: Expr) -> Expr:
    """Product x (1 + tanh(u))/2 = x*sigmoid(2u), u in float64.

    u = sqrt(2/pi) (x + 0.044715 x^3).

    **Bound** 3 ULP, near -1.3.
    **Edges** gelu_tanh(-inf) = NaN, as ONNX Runtime and torch; gelu_tanh(-0) = -0.
    """
    below = at_least(let, -absolute(x), _f32(-12.96))  # 2u = EXP_0
    a = let(below.astype("float64"))
    scale = 2 * 0.7978845608028654 * LOG2E
    t = let(a * (_f64(scale) + (a * a) * _f64(0.044715 * scale)))
    m, s = _exp2_parts(let, t)
    return _gated(let, x, below, m, s)
