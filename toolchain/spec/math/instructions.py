"""Functions that are one instruction on wasm, for scalars and for vectors."""

from __future__ import annotations

from toolchain.spec.math.definitions import dtype_of
from toolchain.spec.tvm import Expr, tir


def instruction(name: str, *args: Expr) -> Expr:
    """Call an LLVM intrinsic that is one instruction on wasm, scalar and vector."""
    dtype = dtype_of(args[0])
    suffix = dtype.replace("float", "f")
    return tir.call_llvm_pure_intrin(dtype, f"llvm.{name}.{suffix}", *args)


def rint(x: Expr) -> Expr:
    """Round x to an integer, halves to even; -0.3 gives -0. Exact."""
    return instruction("roundeven", x)


def floor(x: Expr) -> Expr:
    """Return the largest integer <= x. Exact."""
    return instruction("floor", x)


def ceil(x: Expr) -> Expr:
    """Return the smallest integer >= x. Exact."""
    return instruction("ceil", x)


def trunc(x: Expr) -> Expr:
    """Drop the fraction of x. Exact."""
    return instruction("trunc", x)


def sqrt(x: Expr) -> Expr:
    """Take the square root, correctly rounded; NaN below 0, -0 at -0."""
    return instruction("sqrt", x)


def absolute(x: Expr) -> Expr:
    """|x|, which clears the sign bit (of NaN too)."""
    return instruction("fabs", x)


def copysign(x: Expr, y: Expr) -> Expr:
    """|x| with the sign bit of y."""
    return instruction("copysign", x, y)
