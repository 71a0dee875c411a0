"""Micro-kernels that fold windows: depthwise convolution.

One loop over a table of taps serves every window, stride and dilation: a tap is
where it lies from the window's first element, and where its weight lies. What a tap
costs beside its arithmetic is shared by the tile's registers.

The columns of a tile fill registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I32,
    WORD,
    check_name,
    define_function,
    entry_builder,
    gep_bytes,
    i32,
    load_at,
    multiply_add,
    vector,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import FOLD
from toolchain.targets import Target

_TAP = 8  # bytes of a tap in its table: two int32


@dataclass(frozen=True)
class Tile:
    """rows, columns: of the tile."""

    rows: int
    columns: int
    target: Target

    @property
    def lanes(self) -> int:
        """Elements in a register."""
        return self.target.lanes()

    @property
    def register(self) -> ir.Type:
        """Type of a register."""
        return vector(F32, self.lanes)


@emits(FOLD)
def fold(module: ir.Module, name: str, target: Target, rows: int, columns: int) -> None:
    """o[p, r, j] = b[j] + sum_k w[t[k, 1] + j] * x[t[k, 0] + p, r, j].

    i32 (ptr x, w, b, t, o, i32 taps, rows, count, size, x_row, o_row, x_step, o_step),
    for p < count in tiles of `size`, r < rows and j < columns. rows is at most the
    tile's. count is at least `size`, the last tile may overlap its neighbour. *_row:
    bytes from a row to the next; *_step: from p to p + 1; the table holds bytes.
    """
    tile = Tile(rows, columns, target)
    check_name(
        name,
        (rows > 0, "it has no rows; use 1 or more"),
        (
            columns > 0 and columns % tile.lanes == 0,
            f"columns must fill registers; use a multiple of {tile.lanes}",
        ),
    )
    _Window(module, name, tile).emit()


class _Window:
    def __init__(self, module: ir.Module, name: str, tile: Tile) -> None:
        self.tile = tile
        sizes = "taps rows count size x_row o_row x_step o_step"
        self.function = define_function(module, name, (*"xwbto", *sizes.split()))
        self.argument = {a.name: a for a in self.function.args}
        self.builder = entry_builder(self.function)

    def emit(self) -> None:
        """A loop over tiles, in it one over taps."""
        build, argument = self.builder, self.argument
        entry = build.block
        tile, tap, latch, done, more, end = (
            self.function.append_basic_block(name)
            for name in ("tile", "tap", "latch", "done", "more", "end")
        )
        last = build.sub(argument["count"], argument["size"])
        build.branch(tile)

        build.position_at_end(tile)
        place = build.phi(I32)
        place.add_incoming(i32(0), entry)
        source = gep_bytes(build, argument["x"], build.mul(place, argument["x_step"]))
        begin = [self._load(argument["b"], i) for i in self._vectors()]
        begin *= self.tile.rows
        build.branch(tap)
        before = build.block

        build.position_at_end(tap)
        sums = [build.phi(self.tile.register) for _ in begin]
        at, left = build.phi(argument["t"].type), build.phi(I32)
        folded = self._tap(source, at, sums, latch)
        rest = build.sub(left, i32(1))
        following = [*folded, gep_bytes(build, at, _TAP), rest]
        for phi, first, after in zip(
            (*sums, at, left),
            (*begin, argument["t"], argument["taps"]),
            following,
            strict=True,
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(after, latch)
        build.cbranch(build.icmp_signed("==", rest, i32(0)), done, tap)

        build.position_at_end(done)
        out = gep_bytes(build, argument["o"], build.mul(place, argument["o_step"]))
        after = self.function.append_basic_block("written")
        self._write(out, folded, after)
        build.cbranch(build.icmp_signed("==", place, last), end, more)

        build.position_at_end(more)
        onward = build.add(place, argument["size"])
        onward = build.select(build.icmp_signed("<", onward, last), onward, last)
        place.add_incoming(onward, more)
        build.branch(tile)
        build.position_at_end(end)
        build.ret(i32(0))

    def _vectors(self) -> range:
        return range(0, self.tile.columns, self.tile.lanes)

    def _load(self, pointer: ir.Value, i: int) -> ir.Value:
        at = gep_bytes(self.builder, pointer, i * WORD)
        return self.builder.load(at, typ=self.tile.register, align=WORD)

    def _offset(self, table: ir.Value, place: int) -> ir.Value:
        return load_at(self.builder, table, place, I32)

    def _rows(self, after: ir.Block) -> Iterator[int]:
        """Each row of the tile, in a block of its own, until `rows` of them are done.

        The exits also keep engines from loading all rows ahead of the arithmetic,
        which spills accumulators.
        """
        build = self.builder
        for row in range(self.tile.rows):
            yield row
            if row == self.tile.rows - 1:
                build.branch(after)
            else:
                enough = i32(row + 1)
                following = self.function.append_basic_block("row")
                done = build.icmp_signed("==", self.argument["rows"], enough)
                build.cbranch(done, after, following)
                build.position_at_end(following)
        build.position_at_end(after)

    def _tap(
        self, x: ir.Value, at: ir.Value, sums: list[ir.Value], latch: ir.Block
    ) -> list[ir.Value]:
        """The sums with a tap folded in, as phis of `latch`."""
        build, target, state = self.builder, self.tile.target, list(sums)
        source = gep_bytes(build, x, self._offset(at, 0))
        pointer = gep_bytes(build, self.argument["w"], self._offset(at, 4))
        weights = [self._load(pointer, i) for i in self._vectors()]
        exits = []
        for row in self._rows(latch):
            if row:
                source = gep_bytes(build, source, self.argument["x_row"])
            for v, i in enumerate(self._vectors()):
                place = row * len(self._vectors()) + v
                state[place] = multiply_add(
                    build, target, self._load(source, i), weights[v], state[place]
                )
            exits.append((build.block, list(state)))
        return self._merged(exits)

    def _merged(self, exits: list[tuple[ir.Block, list[ir.Value]]]) -> list[ir.Value]:
        """Phis of the values that come from several blocks."""
        phis = []
        for i in range(len(exits[0][1])):
            phi = self.builder.phi(self.tile.register)
            for block, values in exits:
                phi.add_incoming(values[i], block)
            phis.append(phi)
        return phis

    def _write(self, out: ir.Value, results: list[ir.Value], after: ir.Block) -> None:
        build = self.builder
        for row in self._rows(after):
            if row:
                out = gep_bytes(build, out, self.argument["o_row"])
            for v, i in enumerate(self._vectors()):
                value = results[row * len(self._vectors()) + v]
                build.store(value, gep_bytes(build, out, i * WORD), align=WORD)
