"""Micro-kernels of depthwise convolution with 3 x 3 taps, which slide over rows.

A register of columns goes from row to row with all nine weights in registers. Each
row of x is loaded once and added to every output row that it belongs to; those that
are not complete stay in registers for the next one. Rows are an image's and columns
its own, or, where channels lie side by side, rows its pixels and columns channels.

Names: `micro_slide_1` and `micro_slide_2`, of a stride down the rows, where
neighbouring columns have neighbouring windows; `micro_slide_even`, of stride 2 both
ways; and `micro_touch`, which reads ahead.
"""

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _I32, _at, _blocks, _function, _i32
from toolchain.micro.fold import multiply_add
from toolchain.spec import SpecError
from toolchain.targets import Target

TAPS = 3
_BYTES = 4  # of an element
LINE, STEP = 64, 256  # bytes of a cache line, and that a step touches


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    if name == "micro_touch":
        _touch(module, name)
        return
    match = re.fullmatch(r"micro_slide_(1|2|even)", name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_slide_<1|2|even> or "
            "micro_touch"
        )
    _Slide(module, name, match[1], target).emit()


def _touch(module: Any, name: str) -> None:
    """i32 (ptr x, o, i32 bytes): brings x, at least STEP bytes, into the caches.

    In order, as processors fetch ahead best. o[0] is what they have in common, so that
    no load is left out.
    """
    function = _function(module, name, (*"xo", "bytes"))
    x, out, size = function.args
    build = ir.IRBuilder(function.append_basic_block("entry"))
    build.store(_i32(0), out, align=_BYTES)

    def touch(i: Any) -> None:
        seen = build.load(out, typ=_I32, align=_BYTES)
        for line in range(0, STEP, LINE):
            at = _at(build, _at(build, x, i), line)
            seen = build.xor(seen, build.load(at, typ=_I32, align=_BYTES))
        build.store(seen, out, align=_BYTES)

    _blocks(build, size, STEP, touch)
    build.ret(_i32(0))


class _Slide:
    """o[i, j] = b[j] + sum_(r, s) w[r, s, j] * x[i * stride + r, j + s * x_tap].

    "even": x[i * 2 + r, 2 * j + s] instead. i32 (ptr x, w, b, o, i32 rows, columns,
    x_row, o_row, x_tap, w_row, w_tap, w_step), for i < rows, at least 1, and
    j < columns, at least a register's; the last register may overlap the one before.
    *_row, *_tap: bytes from one to the next; w_step: 0 where w and b are one register
    for all columns, else 1. Reads no element that no window has. "even" takes top and
    left besides: 1 where a row above x and a column beside it are the image's pads, and
    x begins after them; else 0.
    """

    def __init__(self, module: Any, name: str, kind: str, target: Target) -> None:
        self.even, self.target = kind == "even", target
        self.stride = 1 if kind == "1" else 2
        # Two in a step, with exits between: 2.15 ns a register where it was 3.04
        # (wasmtime; 2.1 where it was 2.4 in Node). At stride 1 that gains nothing.
        self.steps = self.stride
        self.lanes = target.lanes()
        self.unit = _F32 if self.lanes == 1 else ir.VectorType(_F32, self.lanes)
        sizes = "rows columns x_row o_row x_tap w_row w_tap w_step"
        if self.even:
            sizes += " top left"
        self.function = _function(module, name, (*"xwbo", *sizes.split()))
        self.argument = {a.name: a for a in self.function.args}
        self.argument["o"].add_attribute("noalias")
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """Register after register of columns."""
        build, columns = self.build, self.argument["columns"]
        self.beside = False
        if not self.even:
            _blocks(build, columns, self.lanes, self._strip)
        else:
            left = self.argument["left"]
            with build.if_then(build.icmp_signed("==", left, _i32(1))):
                self._beside()
            first = build.mul(left, _i32(self.lanes))
            rest = build.sub(columns, first)
            with build.if_then(build.icmp_signed(">", rest, _i32(0))):
                _blocks(
                    build,
                    rest,
                    self.lanes,
                    lambda column: self._strip(build.add(column, first)),
                )
        build.ret(_i32(0))

    def _beside(self) -> None:
        """The first columns, where their windows begin in the pads."""
        steps, self.beside, self.steps = self.steps, True, 1
        self._strip(_i32(0))
        self.beside, self.steps = False, steps

    def _strip(self, column: Any) -> None:
        """A loop over rows. Begun: rows of which lines are folded in already."""
        build, given = self.build, self.argument
        at = build.shl(column, _i32(2))
        self._take(build.mul(at, given["w_step"]))
        across = at
        if self.even:
            across = build.shl(at, _i32(1))
        if self.even and not self.beside:
            across = build.sub(across, build.shl(given["left"], _i32(2)))
        source, *begun = self._begin(_at(build, given["x"], across))
        self._rows([source, _at(build, given["o"], at), given["rows"], *begun])

    def _begin(self, source: Any) -> list[Any]:
        """Where lines go on after those of rows that are begun, and their sums."""
        build, lines = self.build, range(TAPS - self.stride)
        begun: list[Any] = []
        before, inside, joined = (
            build.block,
            *(self.function.append_basic_block(n) for n in ("inside", "joined")),
        )
        if not self.even:
            build.branch(inside)
        else:
            above = build.icmp_signed("==", self.argument["top"], _i32(1))
            build.cbranch(above, joined, inside)
        build.position_at_end(inside)
        first = source
        for line in lines:
            begun = self._line(line, source, begun)
            source = _at(build, source, self.argument["x_row"])
        inside = build.block
        build.branch(joined)
        build.position_at_end(joined)
        if not self.even:
            return [source, *begun]
        # Without the line above, a row begins as its bias.
        found = []
        for skipped, value in ((first, source), *((self.bias, sum) for sum in begun)):
            phi = build.phi(value.type)
            phi.add_incoming(skipped, before)
            phi.add_incoming(value, inside)
            found.append(phi)
        return found

    def _rows(self, first: list[Any]) -> None:
        """A loop over rows. first: x, the result, how many of them, begun sums."""
        build, entry = self.build, self.build.block
        row, end = (self.function.append_basic_block(n) for n in ("row", "end"))
        if self.stride > 1:
            self.never = self.function.append_basic_block("never")
        build.branch(row)
        build.position_at_end(row)
        phis = [build.phi(value.type) for value in first]
        source, out, left, *sums = phis
        exits: list[tuple[Any, list[Any]]] = []
        for step in range(self.steps):
            for line in range(TAPS - self.stride, TAPS):
                sums = self._line(line, source, sums)
                source = _at(build, source, self.argument["x_row"])
                if self.stride > 1:
                    exits.append(self._leave(line, left, sums))
            done, *sums = sums
            build.store(done, out, align=_BYTES)
            left = build.sub(left, _i32(1))
            out = _at(build, out, self.argument["o_row"])
            if step < self.steps - 1:
                following = self.function.append_basic_block("following")
                build.cbranch(build.icmp_signed("==", left, _i32(0)), end, following)
                build.position_at_end(following)
        for phi, begin, after in zip(
            phis, first, [source, out, left, *sums], strict=True
        ):
            phi.add_incoming(begin, entry)
            phi.add_incoming(after, build.block)
        build.cbranch(build.icmp_signed("==", left, _i32(0)), end, row)
        if self.stride > 1:
            self._never(exits, phis[1], end)
        build.position_at_end(end)

    def _leave(self, line: int, left: Any, sums: list[Any]) -> tuple[Any, list[Any]]:
        """An exit that is never taken, another one for each line, with the sums so far.

        Engines compute what an exit takes before it, not after the loads that follow:
        more of them than there are registers would be in memory.
        """
        build = self.build
        following = self.function.append_basic_block("following")
        build.cbranch(build.icmp_signed("==", left, _i32(-line)), self.never, following)
        leaving = build.block, sums
        build.position_at_end(following)
        return leaving

    def _never(self, exits: list[tuple[Any, list[Any]]], out: Any, end: Any) -> None:
        """Where these exits lead: their sums must look as if they were of use."""
        build = self.build
        build.position_at_end(self.never)
        phis = [build.phi(self.unit) for _ in exits[-1][1]]
        for block, sums in exits:
            for i, phi in enumerate(phis):
                phi.add_incoming(sums[min(i, len(sums) - 1)], block)
        for i, phi in enumerate(phis):
            build.store(phi, _at(build, out, i * _BYTES), align=_BYTES)
        build.branch(end)

    def _take(self, at: Any) -> None:
        """The weights and the bias, in registers."""
        build, given = self.build, self.argument
        self.bias = self._load(_at(build, given["b"], at))
        row, self.weights = _at(build, given["w"], at), []
        for r in range(TAPS):
            row = _at(build, row, given["w_row"]) if r else row
            self.weights.append(self._taps(row, given["w_tap"]))

    def _line(self, line: int, source: Any, begun: list[Any]) -> list[Any]:
        """Sums with a line of x folded in, the oldest first, and the one it begins.

        line: its number, from the first of the oldest sum's.
        """
        begins = range(0, line + 1, self.stride)
        sums = [*begun, self.bias][: len(begins)]
        values = self._columns(source)
        for i, begin in enumerate(begins):
            sums[i] = self._add(sums[i], values, self.weights[line - begin])
        return sums

    def _add(self, total: Any, values: list[Any], weights: list[Any]) -> Any:
        """The total and a line's products.

        At stride 2 these are added up first, so that a total waits for one addition.
        Of a chain LLVM's reassociation also puts all products ahead, more than there
        are registers.
        """
        build, pairs = self.build, list(zip(values, weights, strict=True))
        line = None if self.stride > 1 else total
        for value, weight in pairs:
            if line is None:
                line = build.fmul(value, weight)
            else:
                line = multiply_add(build, self.target, value, weight, line)
        return line if self.stride == 1 else build.fadd(total, line)

    def _columns(self, source: Any) -> list[Any]:
        """Of each column of taps, what a register of output columns takes."""
        if self.beside:
            return self._columns_beside(source)
        if not self.even or self.lanes == 1:
            return self._taps(source, self.argument["x_tap"])
        first, second, last = (self._load(source, i) for i in (0, 4, 5))
        even = self._shuffle(first, second, [0, 2, 4, 6])
        odd = self._shuffle(first, second, [1, 3, 5, 7])
        return [even, odd, self._shuffle(even, last, [1, 2, 5, 7])]

    def _columns_beside(self, source: Any) -> list[Any]:
        """The same where the first column of taps begins with a pad."""
        zero = ir.Constant(self.unit, None if self.lanes > 1 else 0.0)
        if self.lanes == 1:
            return [zero, self._load(source), self._load(source, 1)]
        first, second = (self._load(source, i) for i in (0, 4))
        even = self._shuffle(first, second, [0, 2, 4, 6])
        odd = self._shuffle(first, second, [1, 3, 5, 7])
        return [self._shuffle(zero, odd, [3, 4, 5, 6]), even, odd]

    def _taps(self, pointer: Any, step: Any) -> list[Any]:
        """Registers that lie `step` bytes apart."""
        found = [self._load(pointer)]
        while len(found) < TAPS:
            pointer = _at(self.build, pointer, step)
            found.append(self._load(pointer))
        return found

    def _shuffle(self, x: Any, y: Any, order: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, self.lanes), order)
        return self.build.shuffle_vector(x, y, mask)

    def _load(self, pointer: Any, i: int = 0) -> Any:
        at = _at(self.build, pointer, i * _BYTES)
        return self.build.load(at, typ=self.unit, align=_BYTES)
