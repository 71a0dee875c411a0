"""Building blocks of formulas: constants, bit patterns, polynomials, limits."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.spec.math.definitions import Let, dtype_of
from toolchain.spec.tvm import Expr, tir

INF = float("inf")
NAN = float("nan")
LARGEST = (2 - 2.0**-23) * 2.0**127  # the largest finite float32
SMALLEST_NORMAL = 2.0**-126


def f32(value: float) -> Expr:
    """A constant."""
    return tir.const(value, "float32")


def f64(value: float) -> Expr:
    """A constant."""
    # Never a bare Python float beside a float64: TVM rounds it to float32 first.
    return tir.const(value, "float64")


def i32(value: int) -> Expr:
    """A constant."""
    return tir.const(value, "int32")


def bits_of(x: Expr) -> Expr:
    """The bits of a float32, as an int32."""
    return tir.reinterpret("int32", x)


def float_of(bits: Expr) -> Expr:
    """The float32 that an int32's bits are."""
    return tir.reinterpret("float32", bits)


def polynomial(let: Let, x: Expr, coefficients: Sequence[float]) -> Expr:
    """c[0] + c[1]*x + c[2]*x^2 + ..., in the dtype of x, which is bound.

    By halves that do not wait for each other (Estrin's scheme): a loop's speed is
    bounded by how many steps of a chain of operations a processor can hold, and this
    chain is half as long as Horner's.
    """
    powers = {1: x}

    def power(n: int) -> Expr:
        if n not in powers:
            powers[n] = let(power(n // 2) * power(n // 2))
        return powers[n]

    def part(c: Sequence[float]) -> Expr:
        if len(c) == 1:
            return tir.const(c[0], dtype_of(x))
        middle = 1
        while 3 * middle <= len(c):  # the last power of 2 up to 2/3 of them
            middle *= 2
        return part(c[:middle]) + part(c[middle:]) * power(middle)

    return part(coefficients)


def leading(let: Let, x: Expr, coefficients: Sequence[float]) -> Expr:
    """A polynomial whose rounding counts: c[0] is added last, in one rounding."""
    first, *rest = coefficients
    return tir.const(first, dtype_of(x)) + x * polynomial(let, x, rest)


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
