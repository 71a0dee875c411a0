"""The sums of a tile of a product, in registers, over k."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from toolchain.micro.builder import (
    WORD,
    add_incoming,
    fmuladd,
    gep_bytes,
    i32,
    load_at,
    new_blocks,
    phi_of,
    splat,
    splat_lane,
)
from toolchain.micro.tile import Tile
from toolchain.spec.panels import PANEL_WIDTH


@dataclass(frozen=True)
class _Exit:
    """Where a step may leave the loop: to `done`, when `left` steps are none."""

    left: ir.Value
    done: ir.Block
    exits: list[tuple[ir.Block, list[ir.Value]]]


class Sums:
    """given: the function's arguments. beyond: less than any number of steps."""

    def __init__(
        self,
        build: ir.IRBuilder,
        tile: Tile,
        given: dict[str, ir.Value],
        beyond: ir.Value,
    ) -> None:
        self.builder, self.tile, self.argument = build, tile, given
        self.beyond = beyond
        self.zeros = [ir.Constant(tile.register, None)] * (tile.rows * tile.vectors)

    def emit(self, a: list[ir.Value], b: list[ir.Value]) -> list[ir.Value]:
        """Loop over k; the tile's sums, row by row. a, b: the panels' pointers."""
        if self.tile.phases > 1:
            return self._sum_phases(a[0], b[0])
        entry, build, tile = self.builder.block, self.builder, self.tile
        depth, step = self.argument["depth"], self.argument["b_step"]
        loop, done = new_blocks(build, "loop", "done")
        build.cbranch(build.icmp_signed(">", depth, i32(0)), loop, done)
        build.position_at_end(loop)
        first = [depth, *a, *b, *self.zeros]
        phis = [build.phi(value.type) for value in first]
        add_incoming(phis, first, entry)
        exits, state = [(entry, self.zeros)], list(phis)
        for unrolled in range(tile.unroll):
            left, rest = state[0], state[1 + len(a) :]
            a, b, sums = state[1:][: len(a)], rest[: tile.panels], rest[tile.panels :]
            sums = self._step(a, b, unrolled, sums, _Exit(left, done, exits))
            left = build.sub(left, i32(1))
            last = unrolled == tile.unroll - 1
            if not tile.dense:
                b = [gep_bytes(build, panel, step) for panel in b]
            elif last:
                size = tile.unroll * PANEL_WIDTH * WORD
                b = [gep_bytes(build, panel, size) for panel in b]
            if last:
                a = [gep_bytes(build, x, tile.unroll * tile.left_bytes) for x in a]
            state = [left, *a, *b, *sums]
            exits.append((build.block, sums))
            following = loop if last else build.append_basic_block("step")
            if last:
                add_incoming(phis, state, build.block)
            over = build.icmp_signed("==", left, i32(0))
            build.cbranch(over, done, following)
            build.position_at_end(done if last else following)
        return self._left_with(exits)

    def _left_with(
        self, exits: list[tuple[ir.Block, list[ir.Value]]]
    ) -> list[ir.Value]:
        """The sums of the block by which the loop was left."""
        blocks, sums = zip(*exits, strict=True)
        columns = zip(*sums, strict=True)
        return [phi_of(self.builder, [*zip(blocks, c, strict=True)]) for c in columns]

    def _sum_phases(self, a: ir.Value, b: ir.Value) -> list[ir.Value]:
        """Sums of one row by one panel: a register of a row at a time, then the rest.

        Before each k there is a scheduling barrier.
        """
        build, tile, count = self.builder, self.tile, self.tile.phases
        depth, size = self.argument["depth"], PANEL_WIDTH * WORD
        entry = build.block
        done, loop = new_blocks(build, "done", "loop")
        whole = build.and_(depth, i32(-count))
        first = [ir.Constant(tile.register, None)] * (count * tile.vectors)
        exits = [(entry, first)]
        build.cbranch(build.icmp_signed(">", whole, i32(0)), loop, done)
        build.position_at_end(loop)
        values = [whole, a, b, *first]
        phis = [build.phi(value.type) for value in values]
        left, row, panel, *sums = phis
        elements = load_at(build, row, 0, tile.register)
        for k in range(count):
            self._barrier([*sums], _Exit(left, done, exits), k)
            factor = splat_lane(build, elements, k)
            for v in range(tile.vectors):
                i = k * tile.vectors + v
                column = load_at(build, panel, k * size + v * tile.bytes, tile.register)
                sums[i] = self._multiply_add(factor, column, sums[i], v)
        following = [
            build.sub(left, i32(count)),
            gep_bytes(build, row, count * WORD),
            gep_bytes(build, panel, count * size),
        ]
        add_incoming(phis, values, entry)
        add_incoming(phis, [*following, *sums], build.block)
        exits.append((build.block, sums))
        more = build.icmp_signed(">", following[0], i32(0))
        build.cbranch(more, loop, done)
        build.position_at_end(done)
        return self._sum_rest(a, b, whole, self._joined(self._left_with(exits)))

    def _joined(self, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums of all phases."""
        while len(sums) > self.tile.vectors:
            half = len(sums) // 2
            pairs = zip(sums[:half], sums[half:], strict=True)
            sums = [self.builder.fadd(x, y) for x, y in pairs]
        return sums

    def _sum_rest(
        self, a: ir.Value, b: ir.Value, start: ir.Value, sums: list[ir.Value]
    ) -> list[ir.Value]:
        """The products of k from `start` on, a k at a time."""
        build, depth = self.builder, self.argument["depth"]
        before = build.block
        head, rest, after = new_blocks(build, "head", "rest", "after")
        build.branch(head)
        build.position_at_end(head)
        k, *totals = phis = [build.phi(v.type) for v in (start, *sums)]
        add_incoming(phis, (start, *sums), before)
        build.cbranch(build.icmp_signed("<", k, depth), rest, after)
        build.position_at_end(rest)
        row = gep_bytes(build, a, build.mul(k, i32(WORD)))
        panel = gep_bytes(build, b, build.mul(k, i32(PANEL_WIDTH * WORD)))
        element = load_at(build, row, 0, self.tile.scalar)
        factor = splat(build, element, self.tile.register)
        more = [build.add(k, i32(1))]
        for v, total in enumerate(totals):
            column = load_at(build, panel, v * self.tile.bytes, self.tile.register)
            more.append(self._multiply_add(factor, column, total, v))
        add_incoming(phis, more, build.block)
        build.branch(head)
        build.position_at_end(after)
        return totals

    def _step(
        self,
        a: list[ir.Value],
        b: list[ir.Value],
        step: int,
        sums: list[ir.Value],
        exit_: _Exit,
    ) -> list[ir.Value]:
        """The sums with the products of one k, `step` behind the pointers."""
        build, tile = self.builder, self.tile
        skipped = step * PANEL_WIDTH * WORD if tile.dense else 0
        columns: dict[int, ir.Value] = {}
        result: list[ir.Value] = []
        rows = None
        for row in range(tile.rows):
            factor = None
            for v in range(tile.vectors):
                if len(result) == tile.barrier > 0:
                    self._barrier([*result, *sums[len(result) :]], exit_)
                if v not in columns:
                    panel, at = divmod(v, tile.vectors // tile.panels)
                    at = skipped + at * tile.bytes
                    columns[v] = load_at(build, b[panel], at, tile.register)
                if factor is None:
                    factor, rows = self._factor(a, step, row, rows)
                total = sums[len(result)]
                result.append(self._multiply_add(factor, columns[v], total, v))
        return result

    def _factor(
        self, a: list[ir.Value], step: int, row: int, rows: ir.Value | None
    ) -> tuple[ir.Value, ir.Value | None]:
        """An element of the left panel in every lane; rows: a register with four."""
        build, tile = self.builder, self.tile
        at = step * tile.rows + row
        if tile.form == "splat":
            return load_at(build, a[0], at * tile.bytes, tile.register), None
        if tile.form == "rows":
            a, at = a[row:], step
        if tile.form != "shuffle" or tile.lanes == 1:
            factor = load_at(build, a[0], at * WORD, tile.scalar)
            return splat(build, factor, tile.register), None
        if row % tile.lanes == 0:
            rows = load_at(build, a[0], at * WORD, tile.register)
        return splat_lane(build, rows, row % tile.lanes), rows

    def _barrier(self, sums: list[ir.Value], exit_: _Exit, number: int = 0) -> None:
        """A scheduling barrier: an exit that is never taken and takes the sums.

        Cranelift computes them before it. number: of the barriers of a step, which
        differ, as LLVM would keep the first alone.
        """
        build = self.builder
        beyond = build.sub(self.beyond, i32(number)) if number else self.beyond
        never = build.icmp_signed("==", exit_.left, beyond)
        exit_.exits.append((build.block, sums))
        following = build.append_basic_block("half")
        build.cbranch(never, exit_.done, following)
        build.position_at_end(following)

    def _multiply_add(
        self, x: ir.Value, y: ir.Value, total: ir.Value, vector: int
    ) -> ir.Value:
        build, tile = self.builder, self.tile
        if tile.kind == "i32":
            return build.add(total, build.mul(x, y))
        # cranelift's FMA overwrites its first factor, best the row's element after its
        # last product. Beside splat panels mul+add in the others is faster than FMA.
        last = vector == tile.vectors - 1 and not tile.target.accumulating
        if tile.target.contract and (last or tile.form != "splat"):
            return fmuladd(build, *((x, y) if last else (y, x)), total)
        return build.fadd(build.fmul(x, y), total)
