"""Micro-kernel of the pooling that halves planes: windows of 3 x 3, 2 apart.

The largest of three rows first, then of three columns of that, all in registers. Each
column is a window's last one and the next window's first one.

Names: `micro_halve_max`, with SIMD.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _I32, _at, _blocks, _function, _i32, _splat
from toolchain.spec import SpecError
from toolchain.targets import Target

TAPS = 3
LANES = 4
_BYTES = 4  # of an element
_VECTOR = ir.VectorType(_F32, LANES)
UNROLL = 2
BUFFERED = 12  # last columns, for windows that end past those in registers
_STEP = 2 * LANES  # columns of x that a register of windows ends in


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    del target  # those without SIMD have no use for it
    if name != "micro_halve_max":
        raise SpecError(f"micro-kernel {name!r} is unknown; use micro_halve_max")
    _Halve(module, name).emit()


class _Halve:
    """i32 (ptr x, o, i32 height, width, top, left, rows, columns): maxima of windows.

    o[i, j] = max of x[2 * i - top + r, 2 * j - left + s] for r, s < 3, where that is in
    x [height, width]; top and left are 0 or 1, width is at least BUFFERED, columns at
    least those of windows that end in x, and each window begins before the end of x.
    Gives 1, and no result, where an element may be NaN: the larger of two is one
    instruction where none is.
    """

    def __init__(self, module: Any, name: str) -> None:
        sizes = ("height", "width", "top", "left", "rows", "columns")
        self.function = _function(module, name, (*"xo", *sizes))
        self.given = {a.name: a for a in self.function.args}
        self.given["o"].add_attribute("noalias")
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        # Of all elements: where one is NaN it is too, as with infinities of both signs.
        self.sum = self.build.alloca(_VECTOR)
        self.sum.type = ir.PointerType()  # llvmlite gives it a type of its own
        self.build.store(ir.Constant(_VECTOR, None), self.sum)
        self.buffer = self.build.alloca(_VECTOR, BUFFERED // LANES + 1)
        self.buffer.type = ir.PointerType()

    def emit(self) -> None:
        """Row by row; what is a window's last row alone is looked at in the end."""
        build, given = self.build, self.given
        self.pitch = build.shl(given["width"], _i32(2))
        room = build.add(build.sub(given["width"], _i32(_STEP + 1)), given["left"])
        # Registers of windows with all of their columns in x.
        self.whole = build.add(build.lshr(room, _i32(3)), _i32(1))
        _blocks(build, given["rows"], 1, self._row)
        last = self._lines(build.sub(given["rows"], _i32(1)))[-1]
        _blocks(
            build,
            given["width"],
            LANES,
            lambda j: self._note(self._load([self._place(last, j)], 0)),
        )
        total = build.load(self.sum, typ=_VECTOR)
        lanes = [build.extract_element(total, _i32(i)) for i in range(LANES)]
        one, *others = lanes
        for value in others:
            one = build.fadd(one, value)
        build.ret(build.zext(build.fcmp_unordered("uno", one, one), _I32))

    def _lines(self, i: Any) -> list[Any]:
        """The rows of a row of windows; those outside are the one at the edge."""
        build, given = self.build, self.given
        first = build.sub(build.shl(i, _i32(1)), given["top"])
        found = []
        for tap in range(TAPS):
            row = build.add(first, _i32(tap))
            row = self._larger(row, _i32(0))
            row = self._smaller(row, build.sub(given["height"], _i32(1)))
            found.append(_at(build, given["x"], build.mul(row, self.pitch)))
        return found

    def _row(self, i: Any) -> None:
        build, given = self.build, self.given
        lines = self._lines(i)
        out = self._place(given["o"], build.mul(i, given["columns"]))
        lowest = ir.Constant(_VECTOR, [-math.inf] * LANES)
        before = build.select(
            build.icmp_signed("==", given["left"], _i32(0)),
            _splat(build, self._down(lines), 0),
            lowest,
        )
        start = build.shl(build.sub(_i32(1), given["left"]), _i32(2))
        here = [_at(build, line, start) for line in lines]
        self._registers([*here, out, self.whole, before])
        self._rest(lines, out)

    def _registers(self, first: list[Any]) -> None:
        """Registers of windows. first: the rows, the result, how many, what they take.

        Two in a step, which share its cost.
        """
        build, entry = self.build, self.build.block
        block, done = (self.function.append_basic_block(n) for n in ("windows", "done"))
        build.branch(block)
        build.position_at_end(block)
        phis = [build.phi(value.type) for value in first]
        *pointers, left, carried = phis
        for step in range(UNROLL):
            carried = self._windows(pointers, step, carried)
            left = build.sub(left, _i32(1))
            if step < UNROLL - 1:
                following = self.function.append_basic_block("more")
                build.cbranch(build.icmp_signed("==", left, _i32(0)), done, following)
                build.position_at_end(following)
        *lines, out = pointers
        moved = [_at(build, line, UNROLL * _STEP * _BYTES) for line in lines]
        moved.append(_at(build, out, UNROLL * LANES * _BYTES))
        for phi, begin, after in zip(phis, first, [*moved, left, carried], strict=True):
            phi.add_incoming(begin, entry)
            phi.add_incoming(after, build.block)
        build.cbranch(build.icmp_signed("==", left, _i32(0)), done, block)
        build.position_at_end(done)

    def _windows(self, pointers: list[Any], step: int, carried: Any) -> Any:
        """A register of windows; what the next one takes of their columns."""
        build, (*lines, out) = self.build, pointers
        low, high = (self._load(lines, step * _STEP + i) for i in (0, LANES))
        # One addition to the sum: two would wait for each other, longer than the rest.
        self._note([*low[:2], *high[:2]])
        low, high = (self._largest(values) for values in (low, high))
        even = self._shuffle(low, high, [0, 2, 4, 6])
        odd = self._shuffle(low, high, [1, 3, 5, 7])
        value = self._largest([even, odd, self._shuffle(carried, odd, [3, 4, 5, 6])])
        at = _at(build, out, step * LANES * _BYTES)
        build.store(value, at, align=_BYTES)
        return odd

    def _rest(self, lines: list[Any], out: Any) -> None:
        """The last windows, where registers do not end with them.

        From a buffer with the last columns, of which the very last stands in for those
        outside.
        """
        build, given = self.build, self.given
        first = build.sub(given["columns"], _i32(LANES))
        more = build.icmp_signed(">", given["columns"], build.shl(self.whole, _i32(2)))
        with build.if_then(more):
            begin = build.sub(given["width"], _i32(BUFFERED))
            here = [self._place(line, begin) for line in lines]
            for i in range(0, BUFFERED, LANES):
                value = self._down(here, i)
                build.store(value, _at(build, self.buffer, i * _BYTES))
            value = _splat(build, value, LANES - 1)
            build.store(value, _at(build, self.buffer, BUFFERED * _BYTES))
            column = build.sub(build.shl(first, _i32(1)), given["left"])
            at = self._place(self.buffer, build.sub(column, begin))
            low, high, last = (
                build.load(_at(build, at, i * _BYTES), typ=_VECTOR, align=_BYTES)
                for i in (0, LANES, LANES + 1)
            )
            even = self._shuffle(low, high, [0, 2, 4, 6])
            odd = self._shuffle(low, high, [1, 3, 5, 7])
            value = self._largest([even, odd, self._shuffle(even, last, [1, 2, 5, 7])])
            build.store(value, self._place(out, first), align=_BYTES)

    def _down(self, lines: list[Any], offset: int = 0) -> Any:
        """The largest of three rows; the last is the next windows' first."""
        values = self._load(lines, offset)
        self._note(values[:2])
        return self._largest(values)

    def _load(self, lines: list[Any], offset: int) -> list[Any]:
        at = offset * _BYTES
        return [
            self.build.load(_at(self.build, line, at), typ=_VECTOR, align=_BYTES)
            for line in lines
        ]

    def _largest(self, values: list[Any]) -> Any:
        first, *others = values
        for value in others:
            first = self._max(first, value)
        return first

    def _note(self, values: list[Any]) -> None:
        """Add elements to the sum that is NaN where one is."""
        build = self.build
        first, *others = values
        for value in others:
            first = build.fadd(first, value)
        total = build.load(self.sum, typ=_VECTOR)
        build.store(build.fadd(total, first), self.sum)

    def _max(self, x: Any, y: Any) -> Any:
        return self.build.select(self.build.fcmp_ordered("<", x, y), y, x)

    def _larger(self, x: Any, y: Any) -> Any:
        return self.build.select(self.build.icmp_signed(">", x, y), x, y)

    def _smaller(self, x: Any, y: Any) -> Any:
        return self.build.select(self.build.icmp_signed("<", x, y), x, y)

    def _shuffle(self, x: Any, y: Any, order: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, LANES), order)
        return self.build.shuffle_vector(x, y, mask)

    def _place(self, pointer: Any, i: Any) -> Any:
        return _at(self.build, pointer, self.build.shl(i, _i32(2)))
