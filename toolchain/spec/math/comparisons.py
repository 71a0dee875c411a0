"""Maximum, minimum and limits, with the same bits on every engine."""

from __future__ import annotations

from toolchain.spec.math.blocks import (
    at_least,
    at_most,
    bits_of,
    float_of,
    i32,
)
from toolchain.spec.math.definitions import Let, dtype_of
from toolchain.spec.math.instructions import (
    instruction,
)
from toolchain.spec.tvm import Expr, tir


def _both_orders(let: Let, x: Expr, y: Expr, larger: bool) -> tuple[Expr, Expr]:
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
    if not vectors or dtype_of(x) != "float32":
        return instruction("maximum", x, y)
    let = Let()
    p, q = _both_orders(let, x, y, larger=True)
    nan = tir.Select(tir.EQ(p, q), i32(0), i32(-1))  # all bits set are a NaN
    return let.around(float_of((bits_of(p) & bits_of(q)) | nan))


def minimum(x: Expr, y: Expr, vectors: bool = True) -> Expr:
    """Return min(x, y); NaN where either is NaN, and -0 below +0 (IEEE 754 minimum).

    vectors: as for maximum; three instructions. NaN has the other operand's bits too.
    """
    if not vectors or dtype_of(x) != "float32":
        return instruction("minimum", x, y)
    let = Let()
    p, q = _both_orders(let, x, y, larger=False)
    return let.around(float_of(bits_of(p) | bits_of(q)))


def clamp(x: Expr, low: Expr, high: Expr, vectors: bool = True) -> Expr:
    """Limit x to [low, high], which are constants; NaN stays, and -0 may become 0."""
    if not vectors:
        return minimum(maximum(x, low, vectors), high, vectors)
    let = Let()
    return let.around(at_most(let, at_least(let, x, low), high))


def is_nan(x: Expr) -> Expr:
    """Whether x is NaN, as a bool, by its bits: TVM simplifies x != x to false."""
    return (bits_of(x) & i32(0x7FFFFFFF)) > i32(0x7F800000)
