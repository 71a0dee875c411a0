"""Integer functions as TE expressions that trap on no target and wrap on overflow.

SIMD has no integer division: int32 divides in float64 and 8 bits in float32, where
the truncated quotient is exact (two quotients of b-bit integers that differ do so by
2^-2b of their size, the rounding is 2^-53 or 2^-24). int64 divides as it is.
"""

import importlib
from typing import Any

from toolchain.spec.math import Let

Expr = Any  # a tvm.tirx.PrimExpr; TVM carries no types
_WIDE = {"int32": "float64", "int8": "float32", "uint8": "float32"}


def _tir() -> Any:
    return importlib.import_module("tvm.tirx")


def quotient(let: Let, a: Expr, b: Expr, dtype: str) -> Expr:
    """A / b towards 0; 0 where b = 0; -a, which wraps, where b = -1."""
    tir = _tir()
    zero, one = tir.const(0, dtype), tir.const(1, dtype)
    minus_one = tir.const(-1, dtype) if dtype != "uint8" else zero
    odd = let(tir.Or(tir.EQ(b, zero), tir.EQ(b, minus_one)))
    divisor = let(tir.Select(odd, one, b))
    if dtype == "int64":
        ratio = let(tir.Div(a, divisor))
    else:
        wide = _WIDE[dtype]
        ratio = let((a.astype(wide) / divisor.astype(wide)).astype("int32"))
        ratio = let(ratio.astype(dtype))
    ratio = let(tir.Select(tir.EQ(b, minus_one), zero - ratio, ratio))
    return tir.Select(tir.EQ(b, zero), zero, ratio)


def _opaque(x: Expr, dtype: str) -> Expr:
    """x, rotated by 0 bits: TVM's simplifier would put squares of squares in full."""
    tir = _tir()
    name = f"llvm.fshl.{dtype.replace('int', 'i')}"
    return tir.call_llvm_intrin(dtype, name, x, x, tir.const(0, dtype))


def power(let: Let, x: Expr, y: Expr, dtype: str) -> Expr:
    """x^y by squaring, for every bit of y; below 0 the true value towards 0.

    0 to a negative power is 0, as x / 0 is.
    """
    tir = _tir()
    zero, one = tir.const(0, dtype), tir.const(1, dtype)
    total, square = one, x
    for bit in range({"int32": 31, "int8": 7}[dtype]):
        chosen = tir.NE(y & tir.const(1 << bit, dtype), zero)
        total = let(total * tir.Select(chosen, square, one))
        square = let(_opaque(square * square, dtype))
    unit = tir.Or(tir.EQ(x, one), tir.EQ(x, tir.const(-1, dtype)))
    turned = let(tir.Select(tir.NE(y & one, zero), x, one))
    below = let(tir.Select(unit, turned, zero))
    return tir.Select(y < zero, below, total)
