"""Folds of rows and columns as TE: what reductions and normalisations share.

**Lanes** LLVM may not reorder a float sum, so a loop over it stays scalar and waits
for every addition. A row is therefore folded in 16 lanes (four vectors: an addition
takes four cycles), which `toolchain/lower.py` vectorises, and those in pairs: a fixed
order, and more accurate than one sum. Integers are left to LLVM, which reorders them.
**Columns** k.x[o, n, k] is folded along n for all k at once, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolchain.spec import Attribute, te, tir
from toolchain.spec import math as m

Expr = Any
Compute = Callable[[Any], Any]
LANES = 16
INF = float("inf")

AXIS = Attribute("axis", default=-1, kernel=0)
REDUCE_AXIS = (
    Attribute("axis", default=0, kernel=0),
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
)
REDUCE_AXES = (
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
    Attribute("noop_with_empty_axes", default=0, minimum=0, maximum=1, kernel=0),
    Attribute("axes", default=0, per_unit=1),
)
TRAILING = (
    Attribute("axis", default=-1, kernel=0),
    Attribute("epsilon", "float", default=1e-5),
)


def is_float(x: Expr) -> bool:
    """Whether an expression is a float."""
    return str(x.expr_ty().dtype).startswith("float")


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger; NaN where either is."""
    return m.maximum(a, b) if is_float(a) else tir.Max(a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller; NaN where either is."""
    return m.minimum(a, b) if is_float(a) else tir.Min(a, b)


def lowest(dtype: str) -> Expr:
    """-inf, or the smallest integer."""
    return tir.const(-INF, dtype) if dtype == "float32" else tir.min_value(dtype)


def highest(dtype: str) -> Expr:
    """inf, or the largest integer."""
    return tir.const(INF, dtype) if dtype == "float32" else tir.max_value(dtype)


@dataclass(frozen=True)
class Fold:
    """An associative operation; empty: the value of an empty fold, by dtype.

    lanes: whether floats need partial results to be vectorised.
    """

    operation: Callable[[Expr, Expr], Expr]
    empty: Callable[[str], Expr]
    lanes: bool = False

    def over(self, term: Expr, axis: Expr) -> Expr:
        """TE reduction of a term along an axis."""
        return te.comm_reducer(self.operation, self.empty)(term, axis=axis)

    def rows(self, k: Any, term: Callable[[Expr, Expr], Expr], name: str) -> Any:
        """Tensor [o]: the fold of term(i, r) over the positions r of row i."""
        if self.lanes and k.dtype == "float32":
            return self._in_lanes(k, term, name)
        r = te.reduce_axis((0, k.n), f"{name}_r")
        return te.compute((k.o,), lambda i: self.over(term(i, r), r), name)

    def columns(
        self, k: Any, term: Callable[[Expr, Expr, Expr], Expr], name: str
    ) -> Any:
        """Tensor [o, k]: the fold of term(i, r, j) over r."""
        r = te.reduce_axis((0, k.n), f"{name}_r")
        return te.compute((k.o, k.k), lambda i, j: self.over(term(i, r, j), r), name)

    def _in_lanes(self, k: Any, term: Callable[[Expr, Expr], Expr], name: str) -> Any:
        b = te.reduce_axis((0, k.n // LANES), f"{name}_b")
        r = te.reduce_axis((0, k.n % LANES), f"{name}_r")
        parts = te.compute(
            (k.o, LANES),
            lambda i, lane: self.over(term(i, b * LANES + lane), b),
            f"{name}_lanes",
        )
        rest = te.compute(
            (k.o,),
            lambda i: self.over(term(i, k.n - k.n % LANES + r), r),
            f"{name}_rest",
        )

        def whole(i: Expr) -> Expr:
            values = [parts[i, lane] for lane in range(LANES)]
            while len(values) > 1:
                half = len(values) // 2
                values = [
                    self.operation(a, b)
                    for a, b in zip(values[:half], values[half:], strict=True)
                ]
            return self.operation(values[0], rest[i])

        return te.compute((k.o,), whole, name)


SUM = Fold(lambda a, b: a + b, lambda dtype: tir.const(0, dtype), lanes=True)
PRODUCT = Fold(lambda a, b: a * b, lambda dtype: tir.const(1, dtype), lanes=True)
MAXIMUM = Fold(maximum, lowest, lanes=True)
MINIMUM = Fold(minimum, highest, lanes=True)
LAST = Fold(maximum, lambda dtype: tir.const(-1, dtype))


def reduction(
    kind: Fold,
    before: Callable[[Any, Expr], Expr] = lambda k, x: x,
    after: Callable[[Any, Expr], Expr] = lambda k, total: total,
) -> tuple[Compute, Compute]:
    """(compute, columns): after(k, fold of before(k, x)), as the dtype of x.

    The fold is the tensor "total".
    """

    def rows(k: Any) -> Any:
        total = kind.rows(k, lambda i, r: before(k, k.x[i, r]), "total")
        return te.compute((k.o,), lambda i: after(k, total[i]).astype(k.dtype), "out")

    def columns(k: Any) -> Any:
        total = kind.columns(k, lambda i, r, j: before(k, k.x[i, r, j]), "total")
        return te.compute(
            (k.o, k.k), lambda i, j: after(k, total[i, j]).astype(k.dtype), "out"
        )

    return rows, columns


def _exp_difference(x: Expr, peak: Expr) -> Expr:
    """exp(x - peak), x <= peak, with the rounding error of the difference applied.

    The error (Knuth's TwoSum) is at most half an ULP of 104, beyond which exp is 0.
    """
    let = m.Let()
    x, peak = let(x), let(peak)
    d = let(x - peak)
    back = let(d - x)
    error = let((x - (d - back)) - (peak + back))
    e = let(m.exp(d))
    # Not where an infinity has made the error NaN.
    small = tir.Select(
        d > tir.const(-110.0, "float32"), error, tir.const(0.0, "float32")
    )
    return let.around(e + e * small)


def softmax(
    finish: Callable[[Expr, Expr, Expr, Expr], Expr],
) -> tuple[Compute, Compute]:
    """(compute, columns) of out = finish(x, peak, e, sum of e), e = exp(x - peak).

    e is the tensor "e", of the output's shape.
    """

    def rows(k: Any) -> Any:
        peak = MAXIMUM.rows(k, lambda i, r: k.x[i, r], "peak")
        e = te.compute(
            (k.o, k.n), lambda i, r: _exp_difference(k.x[i, r], peak[i]), "e"
        )
        total = SUM.rows(k, lambda i, r: e[i, r], "total")
        return te.compute(
            (k.o, k.n),
            lambda i, r: finish(k.x[i, r], peak[i], e[i, r], total[i]),
            "out",
        )

    def columns(k: Any) -> Any:
        peak = MAXIMUM.columns(k, lambda i, r, j: k.x[i, r, j], "peak")
        e = te.compute(
            (k.o, k.n, k.k),
            lambda i, r, j: _exp_difference(k.x[i, r, j], peak[i, j]),
            "e",
        )
        total = SUM.columns(k, lambda i, r, j: e[i, r, j], "total")
        return te.compute(
            (k.o, k.n, k.k),
            lambda i, r, j: finish(k.x[i, r, j], peak[i, j], e[i, r, j], total[i, j]),
            "out",
        )

    return rows, columns


def position(kind: Fold) -> tuple[Compute, Compute]:
    """(compute, columns): where in a row its fold (a maximum or minimum) stands.

    Two passes, both of which become SIMD: the value, then the first or, by the
    attribute select_last_index, the last position that has it. NaN is equal to NaN.
    """

    def place(k: Any, r: Expr) -> Expr:
        # Grows towards the position to choose.
        last = k.select_last_index
        return r * (2 * last - 1) + (1 - last) * (k.n - 1)

    def where(k: Any, x: Expr, best: Expr, r: Expr) -> Expr:
        let = m.Let()
        x = let(x)
        same = tir.EQ(x, best)
        if is_float(x):
            same = tir.Or(same, m.is_nan(x))
        return let.around(tir.Select(same, place(k, r), tir.const(-1, "int32")))

    def index(k: Any, found: Expr) -> Expr:
        last = k.select_last_index
        return ((found - (1 - last) * (k.n - 1)) * (2 * last - 1)).astype("int64")

    def rows(k: Any) -> Any:
        best = kind.rows(k, lambda i, r: k.x[i, r], "best")
        at = LAST.rows(k, lambda i, r: where(k, k.x[i, r], best[i], r), "at")
        return te.compute((k.o,), lambda i: index(k, at[i]), "out")

    def columns(k: Any) -> Any:
        best = kind.columns(k, lambda i, r, j: k.x[i, r, j], "best")
        at = LAST.columns(
            k, lambda i, r, j: where(k, k.x[i, r, j], best[i, j], r), "at"
        )
        return te.compute((k.o, k.k), lambda i, j: index(k, at[i, j]), "out")

    return rows, columns
