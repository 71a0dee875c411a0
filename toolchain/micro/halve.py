"""Micro-kernel of the pooling that halves planes: windows of 3 x 3, 2 apart.

The largest of three rows first, then of three columns of that, all in registers. Each
column is a window's last one and the next window's first one.

It needs SIMD.
"""

from __future__ import annotations

import math

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I32,
    WORD,
    across_lanes,
    add_incoming,
    alloca,
    define_function,
    entry_builder,
    for_overlapping,
    gep_bytes,
    i32,
    load_at,
    new_blocks,
    select_signed,
    shuffle,
    splat_lane,
    store_at,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import HALVE
from toolchain.targets import Target

TAPS = 3
LANES = 4
_VECTOR = ir.VectorType(F32, LANES)
BUFFERED = 12  # last columns, for windows that end past the registers
_STEP = 2 * LANES  # columns of x that a register of windows ends in


@emits(HALVE)
def halve(module: ir.Module, name: str, target: Target) -> None:
    """i32 (ptr x, o, i32 height, width, top, left, rows, columns): maxima of windows.

    o[i, j] = max of x[2 * i - top + r, 2 * j - left + s] for r, s < 3, where that is in
    x [height, width]; top and left are 0 or 1, width is at least BUFFERED, columns at
    least the windows that end in x, and each window begins before the end of x.
    Gives 1, and no result, where an element may be NaN: the larger of two is one
    instruction where none is.
    """
    _Halve(module, name, target).emit()


class _Halve:
    def __init__(self, module: ir.Module, name: str, target: Target) -> None:
        sizes = ("height", "width", "top", "left", "rows", "columns")
        self.function = define_function(module, name, (*"xo", *sizes))
        self.given = {a.name: a for a in self.function.args}
        self.given["o"].add_attribute("noalias")
        self.unroll = target.tuning("pool.halve_unroll")  # registers in a step
        self.build = entry_builder(self.function)
        # Of all elements: where one is NaN it is too, as with infinities of both signs.
        self.sum = alloca(self.build, _VECTOR)
        self.build.store(ir.Constant(_VECTOR, None), self.sum)
        self.buffer = alloca(self.build, _VECTOR, BUFFERED // LANES + 1)

    def emit(self) -> None:
        """Row by row; what is a window's last row alone is looked at in the end."""
        build, given = self.build, self.given
        self.pitch = build.shl(given["width"], i32(2))
        room = build.add(build.sub(given["width"], i32(_STEP + 1)), given["left"])
        # Registers of windows with all of their columns in x.
        self.whole = build.add(build.lshr(room, i32(3)), i32(1))
        for_overlapping(build, given["rows"], 1, self._row)
        last = self._taken_rows(build.sub(given["rows"], i32(1)))[-1]
        for_overlapping(
            build,
            given["width"],
            LANES,
            lambda j: self._note(self._load([self._place(last, j)], 0)),
        )
        total = build.load(self.sum, typ=_VECTOR)
        one = across_lanes(build, total, build.fadd)
        build.ret(build.zext(build.fcmp_unordered("uno", one, one), I32))

    def _taken_rows(self, i: ir.Value) -> list[ir.Value]:
        """The rows of x that a row of windows takes; outside x, the row at its edge."""
        build, given = self.build, self.given
        first = build.sub(build.shl(i, i32(1)), given["top"])
        found = []
        for tap in range(TAPS):
            row = build.add(first, i32(tap))
            row = select_signed(build, ">", row, i32(0))
            last = build.sub(given["height"], i32(1))
            row = select_signed(build, "<", row, last)
            found.append(gep_bytes(build, given["x"], build.mul(row, self.pitch)))
        return found

    def _row(self, i: ir.Value) -> None:
        build, given = self.build, self.given
        rows = self._taken_rows(i)
        out = self._place(given["o"], build.mul(i, given["columns"]))
        lowest = ir.Constant(_VECTOR, [-math.inf] * LANES)
        before = build.select(
            build.icmp_signed("==", given["left"], i32(0)),
            splat_lane(build, self._down(rows), 0),
            lowest,
        )
        start = build.shl(build.sub(i32(1), given["left"]), i32(2))
        here = [gep_bytes(build, row, start) for row in rows]
        self._registers([*here, out, self.whole, before])
        self._rest(rows, out)

    def _registers(self, first: list[ir.Value]) -> None:
        """Registers of windows. first: the rows, the result, how many, what they take.

        Several in a step share its cost.
        """
        build, entry = self.build, self.build.block
        block, done = new_blocks(build, "windows", "done")
        build.branch(block)
        build.position_at_end(block)
        phis = [build.phi(value.type) for value in first]
        *pointers, left, carried = phis
        for step in range(self.unroll):
            carried = self._windows(pointers, step, carried)
            left = build.sub(left, i32(1))
            if step < self.unroll - 1:
                (following,) = new_blocks(build, "more")
                build.cbranch(build.icmp_signed("==", left, i32(0)), done, following)
                build.position_at_end(following)
        *rows, out = pointers
        moved = [gep_bytes(build, row, self.unroll * _STEP * WORD) for row in rows]
        moved.append(gep_bytes(build, out, self.unroll * LANES * WORD))
        add_incoming(phis, first, entry)
        add_incoming(phis, [*moved, left, carried], build.block)
        build.cbranch(build.icmp_signed("==", left, i32(0)), done, block)
        build.position_at_end(done)

    def _windows(
        self, pointers: list[ir.Value], step: int, carried: ir.Value
    ) -> ir.Value:
        """A register of windows; what the next one takes of their columns."""
        build, (*rows, out) = self.build, pointers
        low, high = (self._load(rows, step * _STEP + i) for i in (0, LANES))
        # One addition to the sum: two would wait for each other, longer than the rest.
        self._note([*low[:2], *high[:2]])
        low, high = (self._largest(values) for values in (low, high))
        even = shuffle(build, low, high, [0, 2, 4, 6])
        odd = shuffle(build, low, high, [1, 3, 5, 7])
        value = self._largest([even, odd, shuffle(build, carried, odd, [3, 4, 5, 6])])
        store_at(build, value, out, step * LANES * WORD)
        return odd

    def _rest(self, rows: list[ir.Value], out: ir.Value) -> None:
        """The last windows, where registers do not end with them.

        From a buffer with the last columns, of which the very last stands in for
        columns outside x.
        """
        build, given = self.build, self.given
        first = build.sub(given["columns"], i32(LANES))
        more = build.icmp_signed(">", given["columns"], build.shl(self.whole, i32(2)))
        with build.if_then(more):
            begin = build.sub(given["width"], i32(BUFFERED))
            here = [self._place(row, begin) for row in rows]
            for i in range(0, BUFFERED, LANES):
                value = self._down(here, i)
                build.store(value, gep_bytes(build, self.buffer, i * WORD))
            value = splat_lane(build, value, LANES - 1)
            build.store(value, gep_bytes(build, self.buffer, BUFFERED * WORD))
            column = build.sub(build.shl(first, i32(1)), given["left"])
            at = self._place(self.buffer, build.sub(column, begin))
            low, high, last = (
                load_at(build, at, i * WORD, _VECTOR) for i in (0, LANES, LANES + 1)
            )
            even = shuffle(build, low, high, [0, 2, 4, 6])
            odd = shuffle(build, low, high, [1, 3, 5, 7])
            value = self._largest([even, odd, shuffle(build, even, last, [1, 2, 5, 7])])
            store_at(build, value, self._place(out, first), 0)

    def _down(self, rows: list[ir.Value], offset: int = 0) -> ir.Value:
        """The largest of three rows; the last is the next windows' first."""
        values = self._load(rows, offset)
        self._note(values[:2])
        return self._largest(values)

    def _load(self, rows: list[ir.Value], offset: int) -> list[ir.Value]:
        at = offset * WORD
        return [load_at(self.build, row, at, _VECTOR) for row in rows]

    def _largest(self, values: list[ir.Value]) -> ir.Value:
        first, *others = values
        for value in others:
            first = self._max(first, value)
        return first

    def _note(self, values: list[ir.Value]) -> None:
        """Add elements to the sum that is NaN where one is."""
        build = self.build
        first, *others = values
        for value in others:
            first = build.fadd(first, value)
        total = build.load(self.sum, typ=_VECTOR)
        build.store(build.fadd(total, first), self.sum)

    def _max(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.build.select(self.build.fcmp_ordered("<", x, y), y, x)

    def _place(self, pointer: ir.Value, i: ir.Value) -> ir.Value:
        return gep_bytes(self.build, pointer, self.build.shl(i, i32(2)))
