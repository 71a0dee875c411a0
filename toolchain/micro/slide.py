"""Micro-kernels of depthwise convolution with 3 x 3 taps, which slide over rows.

A register of columns goes from row to row with all nine weights in registers. Each
row of x is loaded once and added to every output row that it belongs to; those that
are not complete stay in registers for the next one. Rows are an image's and columns
its own, or, where channels lie side by side, rows its pixels and columns channels.

At strides 1 and 2 down the rows neighbouring columns have neighbouring windows; "even"
is stride 2 both ways.
"""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    WORD,
    add_incoming,
    define_function,
    entry_builder,
    for_overlapping,
    gep_bytes,
    i32,
    load_at,
    multiply_add,
    new_blocks,
    phi_of,
    shuffle,
    store_at,
    vector,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import SLIDE
from toolchain.targets import Target

TAPS = 3


@emits(SLIDE)
def slide(module: ir.Module, name: str, target: Target, kind: int | str) -> None:
    """o[i, j] = b[j] + sum_(r, s) w[r, s, j] * x[i * stride + r, j + s * x_tap].

    "even": x[i * 2 + r, 2 * j + s] instead. i32 (ptr x, w, b, o, i32 rows, columns,
    x_row, o_row, x_tap, w_row, w_tap, w_step), for i < rows, at least 1, and
    j < columns, at least a register's; the last register may overlap its neighbour.
    *_row, *_tap: bytes from one to the next; w_step: 0 where w and b are one register
    for all columns, else 1. Reads no element that no window has. "even" takes top and
    left besides: 1 where a row above x and a column beside it are the image's pads, and
    x begins after them; else 0.
    """
    _Slide(module, name, kind, target).emit()


class _Slide:
    def __init__(
        self, module: ir.Module, name: str, kind: int | str, target: Target
    ) -> None:
        self.even, self.target = kind == "even", target
        self.stride = 1 if kind == 1 else 2
        # Rows in a step, with exits between.
        two = self.stride == 2
        self.steps = target.tuning("slide.rows") if two else 1
        self.lanes = target.lanes()
        self.register = vector(F32, self.lanes)
        sizes = "rows columns x_row o_row x_tap w_row w_tap w_step"
        if self.even:
            sizes += " top left"
        self.function = define_function(module, name, (*"xwbo", *sizes.split()))
        self.argument = {a.name: a for a in self.function.args}
        self.argument["o"].add_attribute("noalias")
        self.build = entry_builder(self.function)

    def emit(self) -> None:
        """Register after register of columns."""
        build, columns = self.build, self.argument["columns"]
        self.beside = False
        if not self.even:
            for_overlapping(build, columns, self.lanes, self._strip)
        else:
            left = self.argument["left"]
            with build.if_then(build.icmp_signed("==", left, i32(1))):
                self._beside()
            first = build.mul(left, i32(self.lanes))
            rest = build.sub(columns, first)
            with build.if_then(build.icmp_signed(">", rest, i32(0))):
                for_overlapping(
                    build,
                    rest,
                    self.lanes,
                    lambda column: self._strip(build.add(column, first)),
                )
        build.ret(i32(0))

    def _beside(self) -> None:
        """The first columns, where their windows begin in the pads."""
        steps, self.beside, self.steps = self.steps, True, 1
        self._strip(i32(0))
        self.beside, self.steps = False, steps

    def _strip(self, column: ir.Value) -> None:
        """A loop over rows. Begun: output rows that hold some rows of x already."""
        build, given = self.build, self.argument
        at = build.shl(column, i32(2))
        self._take(build.mul(at, given["w_step"]))
        across = at
        if self.even:
            across = build.shl(at, i32(1))
        if self.even and not self.beside:
            across = build.sub(across, build.shl(given["left"], i32(2)))
        source, *begun = self._begin(gep_bytes(build, given["x"], across))
        self._rows([source, gep_bytes(build, given["o"], at), given["rows"], *begun])

    def _begin(self, source: ir.Value) -> list[ir.Value]:
        """Where x goes on after the rows that are begun, and their sums."""
        build, lines = self.build, range(TAPS - self.stride)
        begun: list[ir.Value] = []
        before, (inside, joined) = build.block, new_blocks(build, "inside", "joined")
        if not self.even:
            build.branch(inside)
        else:
            above = build.icmp_signed("==", self.argument["top"], i32(1))
            build.cbranch(above, joined, inside)
        build.position_at_end(inside)
        first = source
        for line in lines:
            begun = self._line(line, source, begun)
            source = gep_bytes(build, source, self.argument["x_row"])
        inside = build.block
        build.branch(joined)
        build.position_at_end(joined)
        if not self.even:
            return [source, *begun]
        # Without the line above, a row begins as its bias.
        return [
            phi_of(build, [(before, skipped), (inside, value)])
            for skipped, value in ((first, source), *((self.bias, x) for x in begun))
        ]

    def _rows(self, first: list[ir.Value]) -> None:
        """A loop over rows. first: x, the result, how many of them, begun sums."""
        build, entry = self.build, self.build.block
        row, end = new_blocks(build, "row", "end")
        if self.stride > 1:
            (self.never,) = new_blocks(build, "never")
        build.branch(row)
        build.position_at_end(row)
        phis = [build.phi(value.type) for value in first]
        source, out, left, *sums = phis
        exits: list[tuple[ir.Block, list[ir.Value]]] = []
        for step in range(self.steps):
            for line in range(TAPS - self.stride, TAPS):
                sums = self._line(line, source, sums)
                source = gep_bytes(build, source, self.argument["x_row"])
                if self.stride > 1:
                    exits.append(self._leave(line, left, sums))
            done, *sums = sums
            store_at(build, done, out, 0)
            left = build.sub(left, i32(1))
            out = gep_bytes(build, out, self.argument["o_row"])
            if step < self.steps - 1:
                (following,) = new_blocks(build, "following")
                build.cbranch(build.icmp_signed("==", left, i32(0)), end, following)
                build.position_at_end(following)
        add_incoming(phis, first, entry)
        add_incoming(phis, [source, out, left, *sums], build.block)
        build.cbranch(build.icmp_signed("==", left, i32(0)), end, row)
        if self.stride > 1:
            self._never(exits, phis[1], end)
        build.position_at_end(end)

    def _leave(
        self, line: int, left: ir.Value, sums: list[ir.Value]
    ) -> tuple[ir.Block, list[ir.Value]]:
        """A scheduling barrier: an exit that is never taken, with the sums so far.

        Engines compute what an exit takes before it, not after the loads that follow:
        more of them than there are registers would be in memory.
        """
        build = self.build
        (following,) = new_blocks(build, "following")
        build.cbranch(build.icmp_signed("==", left, i32(-line)), self.never, following)
        leaving = build.block, sums
        build.position_at_end(following)
        return leaving

    def _never(
        self, exits: list[tuple[ir.Block, list[ir.Value]]], out: ir.Value, end: ir.Block
    ) -> None:
        """Where these exits lead: their sums must look as if they were of use."""
        build = self.build
        build.position_at_end(self.never)
        phis = [build.phi(self.register) for _ in exits[-1][1]]
        for block, sums in exits:
            for i, phi in enumerate(phis):
                phi.add_incoming(sums[min(i, len(sums) - 1)], block)
        for i, phi in enumerate(phis):
            store_at(build, phi, out, i * WORD)
        build.branch(end)

    def _take(self, at: ir.Value) -> None:
        """The weights and the bias, in registers."""
        build, given = self.build, self.argument
        self.bias = self._load(gep_bytes(build, given["b"], at))
        row, self.weights = gep_bytes(build, given["w"], at), []
        for r in range(TAPS):
            row = gep_bytes(build, row, given["w_row"]) if r else row
            self.weights.append(self._taps(row, given["w_tap"]))

    def _line(
        self, line: int, source: ir.Value, begun: list[ir.Value]
    ) -> list[ir.Value]:
        """Sums with a row of x folded in, the oldest first, and the sum that it begins.

        line: its number, from the first of the oldest sum's.
        """
        begins = range(0, line + 1, self.stride)
        sums = [*begun, self.bias][: len(begins)]
        values = self._columns(source)
        for i, begin in enumerate(begins):
            sums[i] = self._add(sums[i], values, self.weights[line - begin])
        return sums

    def _add(
        self, total: ir.Value, values: list[ir.Value], weights: list[ir.Value]
    ) -> ir.Value:
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

    def _columns(self, source: ir.Value) -> list[ir.Value]:
        """Of each column of taps, what a register of output columns takes."""
        if self.beside:
            return self._columns_beside(source)
        if not self.even or self.lanes == 1:
            return self._taps(source, self.argument["x_tap"])
        first, second, last = (self._load(source, i) for i in (0, 4, 5))
        even = shuffle(self.build, first, second, [0, 2, 4, 6])
        odd = shuffle(self.build, first, second, [1, 3, 5, 7])
        return [even, odd, shuffle(self.build, even, last, [1, 2, 5, 7])]

    def _columns_beside(self, source: ir.Value) -> list[ir.Value]:
        """The same where the first column of taps begins with a pad."""
        zero = ir.Constant(self.register, None if self.lanes > 1 else 0.0)
        if self.lanes == 1:
            return [zero, self._load(source), self._load(source, 1)]
        first, second = (self._load(source, i) for i in (0, 4))
        even = shuffle(self.build, first, second, [0, 2, 4, 6])
        odd = shuffle(self.build, first, second, [1, 3, 5, 7])
        return [shuffle(self.build, zero, odd, [3, 4, 5, 6]), even, odd]

    def _taps(self, pointer: ir.Value, step: ir.Value) -> list[ir.Value]:
        """Registers that lie `step` bytes apart."""
        found = [self._load(pointer)]
        while len(found) < TAPS:
            pointer = gep_bytes(self.build, pointer, step)
            found.append(self._load(pointer))
        return found

    def _load(self, pointer: ir.Value, i: int = 0) -> ir.Value:
        return load_at(self.build, pointer, i * WORD, self.register)
