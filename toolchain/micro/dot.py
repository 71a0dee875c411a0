"""Micro-kernels of products of 8-bit integers: packing by rows and columns, a tile.

An element of a panel is a word of two int16, consecutive in k; a dot step multiplies
the pairs and adds up in int32, exactly. Rows are packed already splat, a register for
each word: a shuffle in the tile would compete with multiplications for their pipes.

Both packings (`dot_pack`) take the sum of two sources, x + other * y with other in -1,
0, 1, and a tile adds its sums to two places alike: that is what Strassen's products
need (see toolchain/spec/eight_bit.py).
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    I16,
    I32,
    PTR,
    WORD,
    add_incoming,
    check_name,
    declared,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
    load_at,
    new_blocks,
    phi_of,
    select_signed,
    store_at,
    vector,
)
from toolchain.micro.dot_pack import pack_columns, pack_rows, stack_bytes
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import DOT
from toolchain.targets import Target

# The sums of a tile with the block from which the loop is left with them.
_Exit = tuple[ir.Block, list[ir.Value]]


@emits(DOT)
def dot(
    module: ir.Module, name: str, target: Target, part: str, rows: int, columns: int
) -> None:
    """What packs rows or columns for a tile, or the tile; see each of them."""
    lanes = target.lanes()
    least = max(lanes, 2)
    check_name(
        name,
        (rows > 0, "it has no rows; use 1 or more"),
        (
            columns >= least and columns & (columns - 1) == 0,
            f"columns must be a power of two; use {least} or more",
        ),
    )
    if part == "rows":
        pack_rows(module, name, rows, lanes)
    elif part == "columns":
        pack_columns(module, name, columns)
    else:
        _Tile(module, name, rows, columns, target).emit()


class _Tile:
    """i32 (ptr a, b, c, e, depth, stride, other, kept, height, width).

    c[i, j] += sum, e[i, j] += other * sum, sum = sum_k a[k, i] . b[k, j]: a and b are
    packed panels of `depth` > 0 words, stride is the bytes from one row of c to the
    next, and of e. c has height rows and width columns, or more; where it has fewer
    than the tile, other is 0. kept: 1 where c has sums already, 2 where e has, 3 where
    both have; else they count as 0. other: 1, 0, or -1, for which e has sums.
    """

    def __init__(
        self, module: ir.Module, name: str, rows: int, columns: int, target: Target
    ) -> None:
        self.rows, self.columns, self.lanes = rows, columns, target.lanes()
        self.vectors = columns // self.lanes
        self.register = vector(I32, self.lanes)
        # Steps between two updates of the pointers.
        self.unroll = target.tuning("eight_bit.unroll")
        names = (*"abce", "depth", "stride", "other", "kept", "height", "width")
        self.function = define_function(module, name, names)
        self.builder = entry_builder(self.function)

    def emit(self) -> None:
        """Loop over k, then add the sums up."""
        build, arguments = self.builder, self.function.args
        _, _, c, e, _, stride, other, kept, height, width = arguments
        totals = self._totals()
        full, part = new_blocks(build, "full", "part")
        less = build.or_(
            build.icmp_signed("<", height, i32(self.rows)),
            build.icmp_signed("<", width, i32(self.columns)),
        )
        build.cbranch(less, part, full)
        build.position_at_end(part)
        self._add_part(totals)
        build.position_at_end(full)
        self._add(c, stride, totals, build.and_(kept, i32(1)))
        with build.if_then(build.icmp_signed("<", other, i32(0))):
            self._place(e, stride, totals, build.sub)
        with build.if_then(build.icmp_signed(">", other, i32(0))):
            self._add(e, stride, totals, build.and_(kept, i32(2)))
        build.ret(i32(0))

    def _totals(self) -> list[ir.Value]:
        """The sums over k: a loop with an exit after each step."""
        build, entry = self.builder, self.builder.block
        a, b, _, _, depth, *_ = self.function.args
        loop, done = new_blocks(build, "loop", "done")
        zeros = [ir.Constant(self.register, None)] * (self.rows * self.vectors)
        build.branch(loop)
        build.position_at_end(loop)
        start = [a, b, depth, *zeros]
        phis = [
            build.phi(kind) for kind in (PTR, PTR, I32, *[self.register] * len(zeros))
        ]
        add_incoming(phis, start, entry)
        left_panel, right_panel, left, *sums = phis
        exits: list[_Exit] = []
        for step in range(self.unroll):
            sums = self._step(left_panel, right_panel, step, sums)
            left = build.sub(left, i32(1))
            finished = build.icmp_signed("==", left, i32(0))
            following = loop
            if step == self.unroll - 1:
                size = self.unroll * self.rows * self.lanes * WORD
                moved = gep_bytes(build, left_panel, size)
                columns = gep_bytes(
                    build, right_panel, self.unroll * self.columns * WORD
                )
                add_incoming(phis, [moved, columns, left, *sums], build.block)
            else:
                (following,) = new_blocks(build, "step")
            exits.append((build.block, sums))
            build.cbranch(finished, done, following)
            build.position_at_end(following)
        build.position_at_end(done)
        return [
            phi_of(build, [(block, values[i]) for block, values in exits])
            for i in range(len(zeros))
        ]

    def _add(
        self, row: ir.Value, stride: ir.Value, sums: list[ir.Value], kept: ir.Value
    ) -> None:
        """Add sums to the sums that are kept; where none are, store them."""
        build = self.builder
        with build.if_else(build.icmp_signed("!=", kept, i32(0))) as (old, new):
            with new:
                self._place(row, stride, sums)
            with old:
                self._place(row, stride, sums, build.add)

    def _step(
        self, a: ir.Value, b: ir.Value, step: int, sums: list[ir.Value]
    ) -> list[ir.Value]:
        build = self.builder
        columns = [
            load_at(
                build, b, (step * self.columns + v * self.lanes) * WORD, self.register
            )
            for v in range(self.vectors)
        ]
        result = []
        for row in range(self.rows):
            at = (step * self.rows + row) * self.lanes * WORD
            factor = load_at(build, a, at, self.register)
            for v, column in enumerate(columns):
                total = sums[row * self.vectors + v]
                result.append(build.add(total, self._dot(factor, column)))
        return result

    def _dot(self, x: ir.Value, y: ir.Value) -> ir.Value:
        build = self.builder
        if self.lanes == 1:
            shift = i32(16)
            low = [build.sext(build.trunc(v, I16), I32) for v in (x, y)]
            high = [build.ashr(v, shift) for v in (x, y)]
            return build.add(build.mul(*low), build.mul(*high))
        pairs = ir.VectorType(I16, 8)
        dot = declared(build.module, "llvm.wasm.dot", self.register, [pairs, pairs])
        return build.call(dot, [build.bitcast(v, pairs) for v in (x, y)])

    def _place(
        self,
        row: ir.Value,
        stride: ir.Value,
        sums: list[ir.Value],
        onto: Callable[[ir.Value, ir.Value], ir.Value] | None = None,
    ) -> None:
        """Store the sums, or what `onto` makes of what stands there and them.

        Each case has its code: operations that choose would take 4 % of the products'.
        """
        build = self.builder
        for i, total in enumerate(sums):
            below, v = divmod(i, self.vectors)
            if below and not v:
                row = gep_bytes(build, row, stride)
            offset = v * self.lanes * WORD
            if onto:
                total = onto(load_at(build, row, offset, self.register), total)
            store_at(build, total, row, offset)

    def _add_part(self, sums: list[ir.Value]) -> None:
        """Add to c the elements of the tile that lie in it, an element at a time."""
        build = self.builder
        *_, c, _, _, stride, _, kept, height, width = self.function.args
        with build.goto_entry_block():
            buffer = stack_bytes(build, self.rows * self.columns * WORD)
        for i, total in enumerate(sums):
            store_at(build, total, buffer, i * self.lanes * WORD)
        rows = select_signed(build, "<", height, i32(self.rows))
        shift = i32(self.columns.bit_length() - 1)
        mask = build.sub(i32(0), build.and_(kept, i32(1)))

        def element(i: ir.Value) -> None:
            column = build.and_(i, i32(self.columns - 1))
            row = gep_bytes(build, c, build.mul(build.lshr(i, shift), stride))
            with build.if_then(build.icmp_signed("<", column, width)):
                at = build.mul(column, i32(WORD))
                total = load_at(build, buffer, build.mul(i, i32(WORD)), I32)
                before = build.and_(load_at(build, row, at, I32), mask)
                store_at(build, build.add(before, total), row, at)

        for_range(build, i32(0), build.shl(rows, shift), 1, element)
        build.ret(i32(0))
