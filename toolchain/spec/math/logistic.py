"""The logistic function and products with it: sigmoid, silu, softplus."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    INF,
    at_least,
    at_most,
    bits_of,
    f32,
    float_of,
    i32,
)
from toolchain.spec.math.definitions import Let, math_function, short_form
from toolchain.spec.math.exponentials import (
    EXP_0,
    LEAST,
    LN2,
    exp_normal,
    exp_parts,
    exp_quotient,
)
from toolchain.spec.math.instructions import (
    absolute,
)
from toolchain.spec.math.powers import log_tail
from toolchain.spec.tvm import Expr, tir

# n + 127 up to which 143 * 2^n is finite.
LOGISTIC_MOST = 0x4B4000F7
LOGISTIC_0 = -110.0  # x exp(x) is 0, and less has no power to scale it by


def _logistic(let: Let, x: Expr) -> tuple[Expr, Expr]:
    """(m, s): 1/(1 + exp(-x)) = a/(a + 2^n b) = m*s for x >= -110.

    exp(r) = a/b, -x = n ln 2 - r. Where 2^n could overflow, s is 2^-64; it comes last,
    so that a denormal result is rounded once.
    """
    near = at_most(let, x, f32(87))  # exp(-87) does not change 1
    k, _, r = exp_normal(let, near, -1)
    low = let(near < f32(-64))
    power = float_of((k - tir.Select(low, i32(64), i32(0))) << i32(23))
    scale = let(tir.Select(low, f32(2.0**-64), f32(1)))
    above, below = exp_quotient(let, r)
    return above / (above * scale + power * below), scale


@math_function
def sigmoid(let: Let, x: Expr) -> Expr:
    """Logistic 1/(1 + exp(-x)).

    **Bound** 2 ULP.
    **Edges** sigmoid(-inf) = 0, sigmoid(inf) = 1.
    """
    m, s = _logistic(let, at_least(let, x, f32(LOGISTIC_0)))
    return m * s


@short_form(sigmoid)
def _sigmoid_short(let: Let, x: Expr) -> Expr:
    """The same bits, for -83.5 < x < 87.6."""
    k, power, r = exp_normal(let, x, -1)
    let.within(k, LEAST, LOGISTIC_MOST)
    above, below = exp_quotient(let, r)
    return above / (above + power * below)


def nan_at_minus_infinity(x: Expr, result: Expr) -> Expr:
    """x*f(x) with f(-inf) = 0: NaN, as ONNX Runtime, torch and IEEE products say."""
    # All bits set are a NaN; a select would take three instructions.
    mark = tir.Select(tir.EQ(x, f32(-INF)), i32(-1), i32(0))
    return float_of(bits_of(result) | mark)


def gated(let: Let, x: Expr, below: Expr, m: Expr, s: Expr) -> Expr:
    """below*e/(1 + e) where x < 0, x/(1 + e) elsewhere; e = m*s <= 1, m and s normal.

    `below` is -|x|, clamped where the result has become 0. s comes last, so that a
    denormal e does not cost the product its digits.
    """
    negative = let(x < f32(0))
    ratio = tir.Select(negative, below * m, x) / (f32(1) + m * s)
    result = ratio * tir.Select(negative, s, f32(1))
    return nan_at_minus_infinity(x, result)


@math_function
def silu(let: Let, x: Expr) -> Expr:
    """Product x*sigmoid(x).

    **Bound** 3 ULP, also on all of [-2, -1].
    **Edges** silu(-inf) = NaN, as ONNX Runtime and torch; silu(-0) = -0.
    """
    below = at_least(let, x, f32(LOGISTIC_0))
    m, s = _logistic(let, below)
    return nan_at_minus_infinity(x, below * m * s)


@math_function
def mish(let: Let, x: Expr) -> Expr:
    """Product x tanh(log(1 + e)) = x n/(n + 2), n = e (e + 2), e = exp(x).

    **Bound** 4 ULP.
    **Edges** mish(-inf) = NaN, as IEEE products say; mish(-0) = -0.
    """
    # tanh(log(1 + e)) rounds to 1 from 9.
    low = at_least(let, x, f32(EXP_0))
    m, s = exp_parts(let, at_most(let, low, f32(20)))
    e = let(m * s)
    share = let((m * (e + f32(2))) / (e * (e + f32(2)) + f32(2)))
    # A small e is scaled last, so that a denormal result is rounded once.
    above, below = x * (share * s), (low * share) * s
    return nan_at_minus_infinity(x, tir.Select(x > f32(0), above, below))


@math_function
def softplus(let: Let, x: Expr) -> Expr:
    """Logarithm of 1 + exp(x): max(x, 0) + log(1 + e), e = exp(-|x|).

    **Bound** 2 ULP.
    **Edges** softplus(-inf) = 0, softplus(inf) = inf.
    """
    m, s = exp_parts(let, at_least(let, -absolute(x), f32(EXP_0)))
    e = let(m * s)
    # 1 + e = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]
    upper = let(e > f32(0.41421356))
    f = let(tir.Select(upper, (e - f32(1)) * f32(0.5), e))
    return tir.Select(x < f32(0), f32(0), x) + (
        tir.Select(upper, f32(LN2), f32(0)) + (f + log_tail(let, f))
    )
