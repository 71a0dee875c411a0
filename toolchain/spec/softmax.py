"""Softmax and log-softmax: shares of exponentials, along rows or columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.spec import math as m
from toolchain.spec.arrays import add_up
from toolchain.spec.nest import materialized
from toolchain.spec.normalization import SHORT, each_four
from toolchain.spec.rows import (
    INF,
    MAXIMUM,
    SUM,
    Compute,
    Strip,
    each_element,
    each_strip,
)
from toolchain.spec.tvm import Expr, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

FEW = 32  # elements of a row for which softmax has one path
SHARES = 2.0**125  # sums of exp_scaled below it have no denormal inverse, nor shares


def softmax(
    prepare: Callable[[Expr, Expr], Expr],
    finish: Callable[[Expr, Expr, Expr, Expr], Expr],
    shares: bool = False,
) -> tuple[Compute, Compute]:
    """(compute, columns) of out = finish(x, peak, e, prepare(sum of e, rest)).

    e = exp(x - peak + rest) lives in the output. shares: peak is not used and e may
    have any factor, so that no peak is looked for where all of a row is within limits.
    """

    def rows(k: Any) -> Any:
        # A model's row of a few elements is not worth the code.
        few = getattr(k.n, "value", SHORT) < FEW
        scaled = shares and k.target.has("simd128") and not few

        def emit(first: Expr, count: Expr, buffers: list[Any], out: Any) -> None:
            (x,) = buffers
            peaks, totals = (T.alloc_buffer((4,), k.dtype) for _ in range(2))

            def exponentials(i: Expr, name: str, *others: Expr) -> None:
                at, total = (first + i) * k.n, totals.access_ptr("w", offset=i)
                add_up(name, x, out, k.n, *others, total, first=at)

            def shifted(i: Expr) -> None:
                MAXIMUM.rows(x, peaks, 1, k.n, (first + i) * k.n, at=i)
                exponentials(i, "exp_relative", materialized(peaks[i]))

            with T.serial(0, count) as i:
                if scaled:
                    # Of a row with a mask, an end is mostly beyond the limits too.
                    ends = (x[first + i, r] for r in (0, k.n - 1))
                    bits = (tir.reinterpret("int32", e) & 0x7FFFFFFF for e in ends)
                    T.buffer_store(totals, tir.const(INF, "float32"), [i])
                    with T.If(tir.max(*bits) < m.EXP_SCALED_BITS), T.Then():
                        exponentials(i, "exp_scaled")
                    with T.If(totals[i] >= tir.const(SHARES, "float32")), T.Then():
                        shifted(i)
                else:
                    shifted(i)
            with T.serial(0, count) as i:
                peak = materialized(peaks[i])
                total = materialized(prepare(totals[i], m.relative_rest(peak)))

                def last(r: Expr) -> None:
                    value = finish(x[first + i, r], peak, out[first + i, r], total)
                    T.buffer_store(out, value, [first + i, r])

                each_element(k, last)

        return each_four(k, emit, k.x)

    def columns(k: Any) -> Any:
        def emit(
            i: Expr, strip: Strip, results: list[Any], buffers: list[Any], out: Any
        ) -> None:
            (x,), (peak, total), first = buffers, results, strip.first
            sizes, start = (1, k.n, strip.width), i * k.n * k.k + first
            MAXIMUM.columns(x, peak, sizes, k.k, first=start)
            with T.serial(0, k.n) as r:
                strip.each(
                    lambda c, c0: T.buffer_store(
                        out,
                        m.exp_difference(x[i, r, first + c], peak[c]),
                        [i, r, first + c],
                    )
                )
            SUM.columns(out, total, sizes, k.k, first=start)
            with T.serial(0, strip.width) as c:
                T.buffer_store(total, prepare(total[c], tir.const(0.0, "float32")), [c])
            with T.serial(0, k.n) as r:

                def last(c: Expr, c0: Expr) -> None:
                    at = [i, r, first + c]
                    e = out[tuple(at)]
                    value = finish(x[tuple(at)], peak[c], e, total[c])
                    # Not twice in the output's own place.
                    T.buffer_store(out, tir.Select(c < c0, e, value), at)

                strip.each(last)

        return each_strip(k, emit, k.x)

    return rows, columns
