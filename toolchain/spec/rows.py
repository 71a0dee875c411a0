"""Folds of rows and columns as TE: what reductions and normalisations share.

**Lanes** A float sum may not be reordered, so a loop over it stays scalar and waits
for every addition. A row is therefore added up in 16 partial sums (four vectors: an
addition takes four cycles), which `toolchain/lower.py` vectorises, then in pairs. That
is a fixed order, the same for every length of row, and more accurate than one sum.
Integers and maxima need no lanes: LLVM reorders them itself.
**Columns** k.x[o, n, k] is folded along n for all k at once, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.spec import te, tir
from toolchain.spec import math as m

Expr = Any
Term = Callable[[Expr, Expr], Expr]  # of row and position
LANES = 16
LOWEST = {
    **{"int8": -(2**7), "uint8": 0, "int32": -(2**31), "int64": -(2**63)},
    "float32": float("-inf"),
}
HIGHEST = {
    **{"int8": 2**7 - 1, "uint8": 2**8 - 1, "int32": 2**31 - 1, "int64": 2**63 - 1},
    "float32": float("inf"),
}


def _times(a: Expr, b: Expr) -> Expr:
    return a * b


def _plus(a: Expr, b: Expr) -> Expr:
    return a + b


def _maximum(a: Expr, b: Expr) -> Expr:
    return m.maximum(a, b) if _is_float(a) else tir.Max(a, b)


def _minimum(a: Expr, b: Expr) -> Expr:
    return m.minimum(a, b) if _is_float(a) else tir.Min(a, b)


def _is_float(a: Expr) -> bool:
    return str(a.expr_ty().dtype).startswith("float")


class Fold:
    """An associative operation with the value of an empty fold.

    sum and product of integers wrap: give them unsigned terms, since TVM marks
    signed arithmetic as free of overflow.
    """

    def __init__(
        self, operation: Callable[[Expr, Expr], Expr], empty: Callable[[str], float]
    ) -> None:
        self.operation, self.empty = operation, empty

    def over(self, term: Expr, axis: Expr) -> Expr:
        """TE reduction of a term along an axis."""
        reducer = te.comm_reducer(
            self.operation, lambda d: tir.const(self.empty(str(d)), d), "fold"
        )
        return reducer(term, axis=axis)


SUM = Fold(_plus, lambda dtype: 0)
PRODUCT = Fold(_times, lambda dtype: 1)
MAXIMUM = Fold(_maximum, lambda dtype: LOWEST[dtype])
MINIMUM = Fold(_minimum, lambda dtype: HIGHEST[dtype])


def fold(k: Any, kind: Fold, term: Term, name: str) -> Any:
    """Fold each row, over position, in any order; for integers and maxima."""
    r = te.reduce_axis((0, k.n), f"{name}_r")
    return te.compute((k.o,), lambda i: kind.over(term(i, r), r), name)


def fold_columns(k: Any, kind: Fold, term: Callable[..., Expr], name: str) -> Any:
    """Fold term(i, r, j) over r, for each i and column j."""
    r = te.reduce_axis((0, k.n), f"{name}_r")
    return te.compute((k.o, k.k), lambda i, j: kind.over(term(i, r, j), r), name)


def fold_lanes(k: Any, kind: Fold, term: Term, name: str) -> Any:
    """Fold each row in lanes; for float sums and products."""
    b = te.reduce_axis((0, k.n // LANES), f"{name}_b")
    r = te.reduce_axis((0, k.n % LANES), f"{name}_r")
    lanes = te.compute(
        (k.o, LANES),
        lambda i, lane: kind.over(term(i, b * LANES + lane), b),
        f"{name}_lanes",
    )
    rest = te.compute(
        (k.o,),
        lambda i: kind.over(term(i, k.n // LANES * LANES + r), r),
        f"{name}_rest",
    )

    def all_of(i: Expr) -> Expr:
        parts = [lanes[i, lane] for lane in range(LANES)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [kind.operation(a, b) for a, b in zip(parts[:half], parts[half:])]
        return kind.operation(parts[0], rest[i])

    return te.compute((k.o,), all_of, name)
