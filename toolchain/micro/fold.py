"""Micro-kernels that fold windows: depthwise convolution.

One loop over a table of taps serves every window, stride and dilation: a tap is
where it lies from the window's first element, and where its weight lies. What a tap
costs beside its arithmetic is shared by the tile's registers.

Names: `micro_fold_<rows>x<columns>`, of a tile, whose columns fill registers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import (
    _F32,
    _I32,
    _at,
    _function,
    _fused,
    _i32,
    _load,
    check_name,
)
from toolchain.spec import SpecError
from toolchain.targets import Target

_FOLD_NAME = r"micro_fold_(\d+)x(\d+)"
_BYTES = 4  # of an element
_TAP = 8  # bytes of a tap in its table: two int32


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(_FOLD_NAME, name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_fold_<rows>x<columns>"
        )
    fold = Fold(int(match[1]), int(match[2]), target)
    check_name(
        name,
        (fold.rows > 0, "it has no rows; use 1 or more"),
        (
            fold.columns > 0 and fold.columns % fold.lanes == 0,
            f"columns must fill registers; use a multiple of {fold.lanes}",
        ),
    )
    Window(module, name, fold).emit()


@dataclass(frozen=True)
class Fold:
    """rows, columns: of the tile."""

    rows: int
    columns: int
    target: Target

    @property
    def lanes(self) -> int:
        """Elements in a register."""
        return self.target.lanes(8 * _BYTES)

    @property
    def unit(self) -> Any:
        """Type of a register."""
        return _F32 if self.lanes == 1 else ir.VectorType(_F32, self.lanes)


class Window:
    """o[p, r, j] = b[j] + sum_k w[t[k, 1] + j] * x[t[k, 0] + p, r, j].

    i32 (ptr x, w, b, t, o, i32 taps, rows, count, size, x_row, o_row, x_step, o_step),
    for p < count in tiles of `size`, r < rows and j < columns. rows is at most the
    tile's. count is at least `size`, the last tile may overlap the one before. *_row:
    bytes from a row to the next; *_step: from p to p + 1; the table holds bytes.
    """

    def __init__(self, module: Any, name: str, fold: Fold) -> None:
        self.fold = fold
        sizes = "taps rows count size x_row o_row x_step o_step"
        self.function = _function(module, name, (*"xwbto", *sizes.split()))
        self.argument = {a.name: a for a in self.function.args}
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

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
        place = build.phi(_I32)
        place.add_incoming(_i32(0), entry)
        source = _at(build, argument["x"], build.mul(place, argument["x_step"]))
        begin = [self._load(argument["b"], i) for i in self._vectors()]
        begin *= self.fold.rows
        build.branch(tap)
        before = build.block

        build.position_at_end(tap)
        sums = [build.phi(self.fold.unit) for _ in begin]
        at, left = build.phi(argument["t"].type), build.phi(_I32)
        folded = self._tap(source, at, sums, latch)
        rest = build.sub(left, _i32(1))
        following = [*folded, _at(build, at, _TAP), rest]
        for phi, first, after in zip(
            (*sums, at, left),
            (*begin, argument["t"], argument["taps"]),
            following,
            strict=True,
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(after, latch)
        build.cbranch(build.icmp_signed("==", rest, _i32(0)), done, tap)

        build.position_at_end(done)
        out = _at(build, argument["o"], build.mul(place, argument["o_step"]))
        after = self.function.append_basic_block("written")
        self._write(out, folded, after)
        build.cbranch(build.icmp_signed("==", place, last), end, more)

        build.position_at_end(more)
        onward = build.add(place, argument["size"])
        onward = build.select(build.icmp_signed("<", onward, last), onward, last)
        place.add_incoming(onward, more)
        build.branch(tile)
        build.position_at_end(end)
        build.ret(_i32(0))

    def _vectors(self) -> range:
        return range(0, self.fold.columns, self.fold.lanes)

    def _load(self, pointer: Any, i: int) -> Any:
        at = _at(self.builder, pointer, i * _BYTES)
        return self.builder.load(at, typ=self.fold.unit, align=_BYTES)

    def _offset(self, table: Any, place: int) -> Any:
        return _load(self.builder, table, place, _I32)

    def _rows(self, after: Any) -> Iterator[int]:
        """Each row of the tile, in a block of its own, until `rows` of them are done.

        The exits also keep engines from loading all rows ahead of the arithmetic,
        which spills accumulators.
        """
        build = self.builder
        for row in range(self.fold.rows):
            yield row
            if row == self.fold.rows - 1:
                build.branch(after)
            else:
                enough = _i32(row + 1)
                following = self.function.append_basic_block("row")
                done = build.icmp_signed("==", self.argument["rows"], enough)
                build.cbranch(done, after, following)
                build.position_at_end(following)
        build.position_at_end(after)

    def _tap(self, x: Any, at: Any, sums: list[Any], latch: Any) -> list[Any]:
        """The sums with a tap folded in, as phis of `latch`."""
        build, target, state = self.builder, self.fold.target, list(sums)
        source = _at(build, x, self._offset(at, 0))
        pointer = _at(build, self.argument["w"], self._offset(at, 4))
        weights = [self._load(pointer, i) for i in self._vectors()]
        exits = []
        for row in self._rows(latch):
            if row:
                source = _at(build, source, self.argument["x_row"])
            for v, i in enumerate(self._vectors()):
                place = row * len(self._vectors()) + v
                state[place] = multiply_add(
                    build, target, self._load(source, i), weights[v], state[place]
                )
            exits.append((build.block, list(state)))
        return self._merged(exits)

    def _merged(self, exits: list[tuple[Any, list[Any]]]) -> list[Any]:
        """Phis of the values that come from several blocks."""
        phis = []
        for i in range(len(exits[0][1])):
            phi = self.builder.phi(self.fold.unit)
            for block, values in exits:
                phi.add_incoming(values[i], block)
            phis.append(phi)
        return phis

    def _write(self, out: Any, results: list[Any], after: Any) -> None:
        build = self.builder
        for row in self._rows(after):
            if row:
                out = _at(build, out, self.argument["o_row"])
            for v, i in enumerate(self._vectors()):
                value = results[row * len(self._vectors()) + v]
                build.store(value, _at(build, out, i * _BYTES), align=_BYTES)


def multiply_add(build: Any, target: Target, x: Any, w: Any, total: Any) -> Any:
    """The total and x * w, rounded once where the target may fuse."""
    if not target.contract:
        return build.fadd(total, build.fmul(x, w))
    return _fused(build, x, w, total)
