"""Softmax and log-softmax: shares of exponentials, along rows or columns."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.spec import Buffer, Expr, Kernel, Tensor, tir
from toolchain.spec import math as m
from toolchain.spec.arrays import add_up
from toolchain.spec.nest import materialized
from toolchain.spec.normalization import each_four
from toolchain.spec.rows import (
    INF,
    MAXIMUM,
    SUM,
    Compute,
    Strip,
    each_element,
    each_strip,
)
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

SHARES = 2.0**125  # sums of exp_scaled below it have no denormal inverse, nor shares
Prepare = Callable[[Expr, Expr], Expr]
Finish = Callable[[Expr, Expr, Expr, Expr], Expr]


def softmax(
    prepare: Prepare, finish: Finish, shares: bool = False
) -> tuple[Compute, Compute]:
    """(compute, columns) of out = finish(x, peak, e, prepare(sum of e, rest)).

    e = exp(x - peak + rest) lives in the output. shares: peak is not used and e may
    have any factor, so that no peak is looked for where all of a row is within limits.
    """

    def rows(k: Kernel) -> Tensor:
        # A model's row of a few elements is not worth the code.
        least = k.target.tuning("softmax.short_row")
        short = getattr(k.n, "value", least) < least
        scaled = shares and k.target.has("simd128") and not short

        def emit(first: Expr, count: Expr, ins: list[Buffer], out: Buffer) -> None:
            _Rows(k, ins[0], out, first).emit(count, prepare, finish, scaled)

        return each_four(k, emit, k.x)

    def columns(k: Kernel) -> Tensor:
        def emit(
            i: Expr, strip: Strip, results: list[Buffer], ins: list[Buffer], out: Buffer
        ) -> None:
            _Columns(k, ins[0], out, i, strip).emit(results, prepare, finish)

        return each_strip(k, emit, k.x)

    return rows, columns


class _Rows:
    """Up to four rows from `first`."""

    def __init__(self, k: Kernel, x: Buffer, out: Buffer, first: Expr) -> None:
        self.k, self.x, self.out, self.first = k, x, out, first
        self.peaks, self.totals = (T.alloc_buffer((4,), k.dtype) for _ in range(2))

    def emit(self, count: Expr, prepare: Prepare, finish: Finish, scaled: bool) -> None:
        """Exponentials and their sums, then, when all rows have sums, the results."""
        with T.serial(0, count) as i:
            if scaled:
                self._scaled(i)
            else:
                self._shifted(i)
        with T.serial(0, count) as i:
            peak = materialized(self.peaks[i])
            total = materialized(prepare(self.totals[i], m.relative_rest(peak)))

            def last(r: Expr) -> None:
                at = (self.first + i, r)
                value = finish(self.x[at], peak, self.out[at], total)
                T.buffer_store(self.out, value, list(at))

            each_element(self.k, last)

    def _scaled(self, i: Expr) -> None:
        """Exponentials as they are, or by the peak if some are beyond the limits."""
        # Of a row with a mask, an end is mostly beyond the limits too.
        ends = (self.x[self.first + i, r] for r in (0, self.k.n - 1))
        bits = (tir.reinterpret("int32", e) & 0x7FFFFFFF for e in ends)
        T.buffer_store(self.totals, tir.const(INF, "float32"), [i])
        with T.If(tir.max(*bits) < m.EXP_SCALED_BITS), T.Then():
            self._exponentials(i, "exp_scaled")
        with T.If(self.totals[i] >= tir.const(SHARES, "float32")), T.Then():
            self._shifted(i)

    def _shifted(self, i: Expr) -> None:
        at = (self.first + i) * self.k.n
        MAXIMUM.rows(self.x, self.peaks, 1, self.k.n, at, at=i)
        self._exponentials(i, "exp_relative", materialized(self.peaks[i]))

    def _exponentials(self, i: Expr, name: str, *others: Expr) -> None:
        at, total = (self.first + i) * self.k.n, self.totals.access_ptr("w", offset=i)
        add_up(name, self.x, self.out, self.k.n, *others, total, first=at)


class _Columns:
    """A strip of the columns of x[i]."""

    def __init__(
        self, k: Kernel, x: Buffer, out: Buffer, i: Expr, strip: Strip
    ) -> None:
        self.k, self.x, self.out, self.i, self.strip = k, x, out, i, strip

    def emit(self, results: list[Buffer], prepare: Prepare, finish: Finish) -> None:
        """Peaks, exponentials and sums of the columns, then the results."""
        k, (peak, total) = self.k, results
        sizes = (1, k.n, self.strip.width)
        start = self.i * k.n * k.k + self.strip.first
        MAXIMUM.columns(self.x, peak, sizes, k.k, first=start)
        self._exponentials(peak)
        SUM.columns(self.out, total, sizes, k.k, first=start)
        with T.serial(0, self.strip.width) as c:
            T.buffer_store(total, prepare(total[c], tir.const(0.0, "float32")), [c])
        with T.serial(0, k.n) as r:

            def last(c: Expr, c0: Expr) -> None:
                at = [self.i, r, self.strip.first + c]
                e = self.out[tuple(at)]
                value = finish(self.x[tuple(at)], peak[c], e, total[c])
                # Not twice in the output's own place.
                T.buffer_store(self.out, tir.Select(c < c0, e, value), at)

            self.strip.each(last)

    def _exponentials(self, peak: Buffer) -> None:
        with T.serial(0, self.k.n) as r:

            def one(c: Expr, c0: Expr) -> None:
                del c0
                at = [self.i, r, self.strip.first + c]
                value = m.exp_difference(self.x[tuple(at)], peak[c])
                T.buffer_store(self.out, value, at)

            self.strip.each(one)
