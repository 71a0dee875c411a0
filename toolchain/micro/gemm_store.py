"""What becomes of a tile's sums: from a start, within limits, into the result."""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    WORD,
    Repeat,
    clamp,
    gep_bytes,
    i32,
    load_at,
    new_blocks,
    phi_of,
    select_signed,
    store_at,
)
from toolchain.micro.tile import Tile


class Store:
    """given: the function's arguments by name. plain: whether sums start from zero.

    cut: memory for a tile of which only a part lies in the block.
    """

    def __init__(
        self,
        build: ir.IRBuilder,
        tile: Tile,
        given: dict[str, ir.Value],
        plain: ir.Value,
        cut: ir.Value,
    ) -> None:
        self.builder, self.tile, self.argument = build, tile, given
        self.plain, self.cut = plain, cut

    def emit(self, sums: list[ir.Value], rows: ir.Value, across: Repeat) -> None:
        """Store a tile: plain, from its start and limited, or the part inside."""
        build, tile = self.builder, self.tile
        cut, whole, plain, started, after = new_blocks(
            build, "cut", "whole", "plain", "started", "after"
        )
        fits = build.icmp_signed(">=", across.left, i32(tile.columns))
        build.cbranch(fits, whole, cut)
        build.position_at_end(cut)
        for i, value in enumerate(sums):
            store_at(build, value, self.cut, i * tile.bytes)
        self._store_cut(rows, across)
        build.branch(after)
        build.position_at_end(whole)
        c = self._rows(rows, across.at["c"], "c_step")
        s = self._rows(rows, across.at["s"], "s_step")
        build.cbranch(self.plain, plain, started)
        for block in (plain, started):
            build.position_at_end(block)
            self._store_whole(sums, c, s if block is started else None)
            build.branch(after)
        build.position_at_end(after)

    def _store_whole(
        self, sums: list[ir.Value], c: list[ir.Value], s: list[ir.Value] | None
    ) -> None:
        """Row by row: loads of all starts ahead of the stores would spill sums."""
        build, tile = self.builder, self.tile
        for i, value in enumerate(sums):
            row, v = divmod(i, tile.vectors)
            if s is not None:
                offset = build.mul(self.argument["s_vector"], i32(v))
                at = gep_bytes(build, s[row], offset)
                value = self._ended(load_at(build, at, 0, tile.register), value)
            store_at(build, value, c[row], v * tile.bytes)

    def _rows(self, left: ir.Value, first: ir.Value, step: str) -> list[ir.Value]:
        """Where each row is; rows past the last one are in the buffer."""
        build, rows = self.builder, [first]
        for _ in range(1, self.tile.rows):
            rows.append(gep_bytes(build, rows[-1], self.argument[step]))
        return [
            build.select(build.icmp_signed(">", left, i32(i)), row, self.cut)
            if i
            else row
            for i, row in enumerate(rows)
        ]

    def _ended(self, start: ir.Value, total: ir.Value) -> ir.Value:
        """min(max(start + total, low), high)."""
        build = self.builder
        if self.tile.kind != "f32":
            return build.add(start, total)
        total = build.fadd(start, total)
        return clamp(build, total, self.argument["low"], self.argument["high"])

    def _store_cut(self, left: ir.Value, across: Repeat) -> None:
        """By vectors, and past the last whole one by elements."""
        build, tile, given = self.builder, self.tile, self.argument
        moving = {
            "t": (self.cut, i32(tile.columns * WORD)),
            "c": (across.at["c"], given["c_step"]),
            "s": (across.at["s"], given["s_step"]),
        }
        count = select_signed(build, "<", left, i32(tile.rows))
        rows = Repeat(build, count, 1, moving)
        vectors = self._along(rows.at, across.left, tile.lanes, given["s_vector"])
        if tile.lanes == 1:
            self._put(vectors.at, tile.register)
        else:
            vector, part, after = new_blocks(build, "vector", "part", "after")
            whole = build.icmp_signed(">=", vectors.left, i32(tile.lanes))
            build.cbranch(whole, vector, part)
            build.position_at_end(vector)
            self._put(vectors.at, tile.register)
            build.branch(after)
            build.position_at_end(part)
            elements = self._along(vectors.at, vectors.left, 1, i32(WORD))
            self._put(elements.at, tile.scalar)
            elements.close()
            build.branch(after)
            build.position_at_end(after)
        vectors.close()
        rows.close()

    def _along(
        self, at: dict[str, ir.Value], count: ir.Value, size: int, step: ir.Value
    ) -> Repeat:
        """A loop along a row of the tile, of the result and of its start."""
        bytes_ = i32(size * WORD)
        steps = {"t": bytes_, "c": bytes_, "s": step}
        moving = {name: (at[name], step) for name, step in steps.items()}
        return Repeat(self.builder, count, size, moving)

    def _put(self, at: dict[str, ir.Value], kind: ir.Type) -> None:
        """Store a part of the tile: as it is, or from its start and limited."""
        build = self.builder
        total, before = load_at(build, at["t"], 0, kind), build.block
        some, done = new_blocks(build, "some", "done")
        build.cbranch(self.plain, done, some)
        build.position_at_end(some)
        ended = self._ended(load_at(build, at["s"], 0, kind), total)
        build.branch(done)
        build.position_at_end(done)
        store_at(build, phi_of(build, [(before, total), (some, ended)]), at["c"], 0)
