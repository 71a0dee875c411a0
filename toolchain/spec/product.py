"""Matrix products over packed panels: the loop nest around a micro-kernel.

`Product` is the one nest of matmul, gemm and conv: blocks of both factors are packed
into panels, and each pair of panels goes through a micro-kernel
(toolchain/micro/builder.py). The operator says how a factor is packed: as rows of a
matrix, as columns of a matrix, or as windows of an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from toolchain.spec.nest import call, ceil_div, materialized, pointer
from toolchain.spec.panels import (
    BLOCK,
    WIDTH,
    Block,
    MatrixColumns,
    MatrixRows,
    Pack,
    Panels,
    packed_at_once,
    row_panels,
    small_m_panels,
    unpacked,
)
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.tvm import tir

# Sizes of the blocks, in units. A panel of the left factor (at most 4 x 512 vectors, 32
# KiB) stays in L1, the right block (1 MiB) about in L2: half of it is 1 % slower.
DEPTH, COLUMNS = 512, 512
CHUNK = 640  # units at most of a product by panels
# Up to these rows, packing the right factor costs more than it gives; it is read by so
# many units at a time.
FEW, UNITS = 8, 32
# Units of a panel below which one row takes panels one by one.
SHORT = 768
# What a micro-kernel's sums start from.
FROM_ZERO, FROM_START, FROM_OUT = 0, 1, 2


@dataclass(frozen=True)
class Packed:
    """A right factor that is packed already: panels [panel, unit, column]."""

    panels: Any


@dataclass(frozen=True)
class Start:
    """What the sums of a product start from.

    at: pointer to that of row i, column j. row, vector: bytes from it to those of
    the next row and of the next vector of columns.
    """

    at: Callable[[Any, Any], Any]
    row: Any
    vector: Any


def by_column(bias: Any, tile: Panels) -> Start:
    """A bias [columns]."""
    return Start(lambda i, j: bias.access_ptr("r", offset=j), 0, tile.lanes * 4)


def by_row(bias: Callable[[Any], Any], rows: Any, tile: Panels) -> Start:
    """A bias of each row, splat over vectors beforehand."""
    splat = T.alloc_buffer((rows, tile.lanes), tile.dtype)
    with T.serial(0, rows) as i, T.vectorized(0, tile.lanes) as v:
        T.buffer_store(splat, bias(i), [i, v])
    return Start(lambda i, j: pointer(splat, [i, 0], "r"), tile.lanes * 4, 0)


@dataclass(frozen=True)
class Product:
    """out[i, j] = start[i, j] + sum_k left[i, k] * right[k, j], as a loop nest.

    rows, depth, columns: sizes, depth in units. left, right: pack lines i and j of
    the factors, where they are not yet. place: indices in `out` of
    element i, j; step: elements from one of its rows to the next. limits: the least and
    the greatest result, for float32 with a start; a NaN passes them. finish: makes
    the result of i, j and the sum.
    """

    panels: Panels
    rows: Any
    depth: Any
    columns: Any
    left: Pack
    right: Pack | Packed
    out: Any
    place: Callable[[Any, Any], list[Any]]
    step: Any
    start: Start | None = None
    limits: tuple[Any, Any] | None = None
    finish: Callable[[Any, Any, Any], Any] | None = None

    def emit(self) -> None:
        """Add the nest to the function under construction."""
        tile = unpacked(self.panels)
        if isinstance(self.left, MatrixRows) and tile != self.panels:
            replace(self, panels=tile).emit()
        elif self.panels.kind != "f32" or self.panels.lanes == 1:
            self.by_blocks()
        elif isinstance(self.left, MatrixRows) and isinstance(
            self.right, MatrixColumns
        ):
            with T.If(self.rows == 1):
                with T.Then():
                    self._direct(self.right, row_panels(self.left))
                with T.Else(), T.If(self.rows <= FEW):
                    with T.Then():
                        self._direct(self.right, self.panels)
                    with T.Else():
                        self.by_blocks()
        elif isinstance(self.left, MatrixRows) and isinstance(self.right, Packed):
            with T.If(self.rows == 1):
                with T.Then():
                    self._row(self.right.panels)
                with T.Else(), T.If(self.rows <= FEW):
                    with T.Then():
                        replace(self, panels=small_m_panels(self.left)).by_rows()
                    with T.Else():
                        self.by_blocks()
        else:
            self.by_blocks()

    def by_blocks(self) -> None:
        """Blocks of the right factor, packed where it is not yet."""
        tile = self.panels
        depth = tir.max(tir.min(self.depth, DEPTH), 1)
        packed = isinstance(self.right, Packed)
        if isinstance(self.right, Packed):
            right = self.right.panels
        else:
            panels = ceil_div(tir.min(self.columns, COLUMNS), WIDTH)
            right = T.alloc_buffer((panels, depth, WIDTH), tile.dtype)
        left = self._left_panel(depth)
        passes = tir.max(ceil_div(self.depth, DEPTH), 1)
        with (
            T.serial(0, ceil_div(self.columns, COLUMNS)) as jc,
            T.serial(0, passes) as kc,
        ):
            j, k = jc * COLUMNS, kc * DEPTH
            columns = tir.min(self.columns - j, COLUMNS)
            units = tir.min(self.depth - k, DEPTH)
            across = Block(right, WIDTH, j, columns, self.columns, k, units, packed)
            if not isinstance(self.right, Packed):
                self.right(across)
            self._rows(left, across, kc == passes - 1)

    def _row(self, panels: Any) -> None:
        """One row by the panels, which are used once: no block to keep in cache.

        Short panels that come from memory one after the other, as they lie there; each
        of those side by side is a stream that processors begin to fetch anew.
        """
        down = Block(self.left, 1, 0, 1, 1, 0, self.depth)
        columns, tile = self.columns, row_panels(self.left)
        across = Block(panels, WIDTH, 0, columns, columns, 0, self.depth, True)
        with T.If(tir.all(self.depth < SHORT, self.depth * columns > BLOCK)):
            with T.Then():
                one = replace(tile, columns=WIDTH)
                replace(self, panels=one).multiply(down, across)
            with T.Else():
                replace(self, panels=tile).multiply(down, across)
        self._finish(True, down, across)

    def _direct(self, right: MatrixColumns, tile: Panels) -> None:
        """Rows of the right factor as they lie; columns past whole panels packed.

        By few units, so that memory is read along the rows.
        """
        part = replace(self, panels=tile)
        whole = self.columns & -WIDTH
        depth = tir.max(tir.min(self.depth, UNITS), 1)
        left = part._left_panel(depth)
        last = T.alloc_buffer((1, depth, WIDTH), tile.dtype)
        passes = tir.max(ceil_div(self.depth, UNITS), 1)
        with T.serial(0, passes) as kc:
            k = kc * UNITS
            units = tir.min(self.depth - k, UNITS)
            across = Block(right, WIDTH, 0, whole, whole, k, units)
            rest = Block(
                last, WIDTH, whole, self.columns - whole, self.columns, k, units
            )
            with T.If(whole < self.columns), T.Then():
                right(rest)
            part._rows(left, across, kc == passes - 1, rest)

    def _left_panel(self, depth: Any, count: Any = 1) -> Any:
        tile = self.panels
        if tile.form == "rows":
            return self.left
        lanes = [tile.broadcast] * (tile.broadcast > 1)
        shape = (count, tir.max(depth, 1), tile.rows, *lanes)
        return T.alloc_buffer(shape, tile.dtype)

    def _rows(self, left: Any, across: Block, last: Any, rest: Any = None) -> None:
        """Every row by a block of the right factor, and by the rest of its columns."""
        tile = self.panels
        with T.serial(0, ceil_div(self.rows, tile.rows)) as ic:
            i = ic * tile.rows
            lines = tir.min(self.rows - i, tile.rows)
            whole = (i, lines, self.rows, across.start, across.depth)
            down = Block(left, tile.rows, *whole)

            def tiles() -> None:
                if tile.form != "rows":
                    self.left(down)
                if rest is None:
                    self.multiply(down, across, last)
                    return
                for block in (across, rest):
                    with T.If(block.lines > 0), T.Then():
                        self.multiply(down, block, last)

            alone = rest is None and isinstance(self.left, MatrixRows)
            if alone and tile.lanes > 1 and tile.kind == "f32":
                # Few last rows one by one, which takes less than a tile of them.
                with T.If(lines * 3 <= tile.rows):
                    with T.Then():
                        one = replace(self, panels=row_panels(self.left))
                        one.multiply(Block(self.left, 1, *whole), across, last)
                    with T.Else():
                        tiles()
            else:
                tiles()
            self._finish(last, down, across)
            if rest is not None:
                self._finish(last, down, rest)

    def by_rows(self) -> None:
        """As many rows at a time as L2 holds: each panel is read once for all."""
        assert isinstance(self.right, Packed)
        tile, depth, columns = self.panels, self.depth, self.columns
        tall = packed_at_once(self.rows, depth, tile.rows, tile.broadcast)
        left = self._left_panel(depth, ceil_div(tall, tile.rows))
        tall = materialized(tall)
        across = Block(self.right.panels, WIDTH, 0, columns, columns, 0, depth, True)
        with T.serial(0, ceil_div(self.rows, tall)) as part:
            i = part * tall
            lines = tir.min(tall, self.rows - i)
            down = Block(left, tile.rows, i, lines, self.rows, 0, depth)
            if tile.form != "rows":
                self.left(down)
            self.by_panels(down, across)

    def by_panels(self, down: Block, across: Block) -> None:
        """Multiply two blocks; each panel of the right one is read once."""
        with T.serial(0, across.panel_count()) as panel:
            first = across.first + panel * WIDTH
            lines = tir.min(across.lines - panel * WIDTH, WIDTH)
            self.by_depth(down, replace(across, first=first, lines=lines))

    def by_depth(self, down: Block, across: Block) -> None:
        """Multiply two blocks by parts of the depth: panels of both stay in L1."""
        depth = across.depth
        parts = materialized(tir.max(ceil_div(depth, CHUNK), 1))
        units = materialized(ceil_div(depth, parts))
        with T.serial(0, parts) as part:
            begin = part * units
            start, some = across.start + begin, tir.min(depth - begin, units)
            chunk = {"start": start, "depth": some}
            self.multiply(
                replace(down, part=begin, **chunk),
                replace(across, **chunk),
                start + some == self.depth,
            )

    def by_width(self, down: Block, across: Block) -> None:
        """Multiply two blocks, up to 4 columns past whole panels by a narrow tile."""
        if self.panels.lanes == 1:  # to which columns are nothing special
            return self.multiply(down, across)
        rest = tir.truncmod(across.lines, WIDTH)
        wide = across.lines - rest
        whole = materialized(tir.Select(rest <= WIDTH // 2, wide, across.lines))
        narrow = replace(self.panels, columns=WIDTH // 2, dense=False)
        with T.If(whole > 0), T.Then():
            self.multiply(down, replace(across, lines=whole))
        with T.If(whole < across.lines), T.Then():
            first, panel = across.first + whole, tir.truncdiv(whole, WIDTH)
            last = replace(across, first=first, lines=rest, panel=panel)
            replace(self, panels=narrow).multiply(down, last)

    def multiply(self, down: Block, across: Block, last: Any = True) -> None:
        """Multiply two blocks that are packed; last: of those of a depth."""
        tile = self.panels
        out = pointer(self.out, self.place(down.first, across.first), "rw")
        start = self.start
        first = FROM_START if start else FROM_ZERO
        call(
            tile.micro_kernel(not isinstance(across.buffer, MatrixColumns)),
            down.data(),
            across.data(),
            out,
            start.at(down.first, across.first) if start else out,
            tir.Select(down.start > 0, FROM_OUT, first),
            down.depth,
            down.lines,
            across.lines,
            down.panel_bytes(),
            *across.steps(),
            self.step * 4,
            start.row if start else 0,
            start.vector if start else 0,
            *self._limits(last),
        )

    def _limits(self, last: Any) -> list[Any]:
        if self.panels.kind != "f32":
            return []
        infinite = [tir.const(v, "float32") for v in (-math.inf, math.inf)]
        if self.limits is None:
            return infinite
        return [
            tir.Select(last, limit, none) if last is not True else limit
            for limit, none in zip(self.limits, infinite, strict=True)
        ]

    def _finish(self, last: Any, down: Block, across: Block) -> None:
        """Apply `finish` to the block that is done, while it is in cache."""
        if self.finish is None:
            return
        with (
            T.If(last),
            T.Then(),
            T.serial(0, down.lines) as r,
            T.serial(0, across.lines) as c,
        ):
            i, j = down.first + r, across.first + c
            at = self.place(i, j)
            T.buffer_store(self.out, self.finish(i, j, self.out[tuple(at)]), at)
