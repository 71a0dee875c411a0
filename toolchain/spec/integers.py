"""Integer functions as TE expressions that trap on no target and wrap on overflow.

SIMD has no integer division: int32 divides in float64 and 8 bits in float32, where
the truncated quotient is exact (two quotients of b-bit integers that differ do so by
2^-2b of their size, the rounding is 2^-53 or 2^-24). int64 divides as it is.
"""

from toolchain.spec.math import Let
from toolchain.spec.tvm import Expr, tir

_WIDE = {"int32": "float64", "int8": "float32", "uint8": "float32"}


def quotient(let: Let, a: Expr, b: Expr, dtype: str) -> Expr:
    """Quotient towards 0; 0 where b = 0; -a, which wraps, where b = -1."""
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
