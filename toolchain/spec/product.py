"""Matrix products over packed panels: the loop nest around a micro-kernel.

`Product` is the loop nest of matmul, gemm and conv: blocks of both factors are packed
into panels, and each pair of panels goes through a micro-kernel
(toolchain/micro/builder.py). The operator says how a factor is packed: as rows of a
matrix, as columns of a matrix, or as windows of an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from toolchain.spec.nest import call, ceil_div, materialized, pointer
from toolchain.spec.panels import (
    PANEL_WIDTH,
    WORD,
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
from toolchain.spec.tvm import Buffer, Expr, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

# What a micro-kernel's sums start from.
FROM_ZERO, FROM_START, FROM_OUT = 0, 1, 2


@dataclass(frozen=True)
class Packed:
    """A right factor that is packed already: panels [panel, k, column]."""

    panels: Buffer


@dataclass(frozen=True)
class Start:
    """What the sums of a product start from.

    at: pointer to the start of row i, column j. row, vector: bytes from there to the
    start of the next row, and of the next vector of columns.
    """

    at: Callable[[Expr, Expr], Expr]
    row: Expr
    vector: Expr


def by_column(bias: Buffer, tile: Panels) -> Start:
    """A bias [columns]."""
    return Start(lambda i, j: bias.access_ptr("r", offset=j), 0, tile.lanes * WORD)


def by_row(bias: Callable[[Expr], Expr], rows: Expr, tile: Panels) -> Start:
    """A bias of each row, splat over vectors beforehand."""
    vectors = T.alloc_buffer((rows, tile.lanes), tile.dtype)
    with T.serial(0, rows) as i, T.vectorized(0, tile.lanes) as v:
        T.buffer_store(vectors, bias(i), [i, v])
    return Start(lambda i, j: pointer(vectors, [i, 0], "r"), tile.lanes * WORD, 0)


@dataclass(frozen=True)
class Product:
    """out[i, j] = start[i, j] + sum_k left[i, k] * right[k, j], as a loop nest.

    rows, depth, columns: sizes of out, and of K. left, right: pack rows and columns of
    the factors that are not packed yet. place: indices in `out` of element i, j; step:
    elements from a row of `out` to the next. limits: the least and the greatest result,
    for float32 with a start; a NaN passes them. finish: makes the result of i, j and
    the sum.
    """

    panels: Panels
    rows: Expr
    depth: Expr
    columns: Expr
    left: Pack
    right: Pack | Packed
    out: Buffer
    place: Callable[[Expr, Expr], list[Expr]]
    step: Expr
    start: Start | None = None
    limits: tuple[Expr, Expr] | None = None
    finish: Callable[[Expr, Expr, Expr], Expr] | None = None

    def tuning(self, name: str) -> int:
        """A number of the target; see toolchain/tuning."""
        return self.panels.target.tuning(f"gemm.{name}")

    def emit(self) -> None:
        """Add the nest to the function under construction."""
        tile = unpacked(self.panels)
        rows = isinstance(self.left, MatrixRows)
        if rows and tile != self.panels:
            replace(self, panels=tile).emit()
        elif not rows or self.panels.kind != "f32" or self.panels.lanes == 1:
            self.by_blocks()
        elif isinstance(self.right, MatrixColumns):
            row = partial(self._direct, self.right, row_panels(self.panels.target))
            self._by_height(row, partial(self._direct, self.right, self.panels))
        elif isinstance(self.right, Packed):
            few = replace(self, panels=small_m_panels(self.panels.target))
            self._by_height(partial(self._row, self.right.panels), few.by_rows)
        else:
            self.by_blocks()

    def _by_height(self, row: Callable[[], None], few: Callable[[], None]) -> None:
        """One row by `row`, few rows by `few`, all others by blocks."""
        with T.If(self.rows == 1):
            with T.Then():
                row()
            with T.Else(), T.If(self.rows <= self.tuning("small_m")):
                with T.Then():
                    few()
                with T.Else():
                    self.by_blocks()

    def by_blocks(self) -> None:
        """Blocks of the right factor, packed where it is not yet."""
        tile, kc, nc = self.panels, self.tuning("kc"), self.tuning("nc")
        depth = tir.max(tir.min(self.depth, kc), 1)
        packed = isinstance(self.right, Packed)
        if isinstance(self.right, Packed):
            right = self.right.panels
        else:
            panels = ceil_div(tir.min(self.columns, nc), PANEL_WIDTH)
            right = T.alloc_buffer((panels, depth, PANEL_WIDTH), tile.dtype)
        left = self._left_panel(depth)
        passes = tir.max(ceil_div(self.depth, kc), 1)
        with (
            T.serial(0, ceil_div(self.columns, nc)) as column,
            T.serial(0, passes) as step,
        ):
            j, k = column * nc, step * kc
            columns = tir.min(self.columns - j, nc)
            part = tir.min(self.depth - k, kc)
            across = Block(
                right, PANEL_WIDTH, j, columns, self.columns, k, part, packed
            )
            if not isinstance(self.right, Packed):
                self.right(across)
            self._rows(left, across, step == passes - 1)

    def _row(self, panels: Buffer) -> None:
        """One row by the panels, which are used once: no block to keep in cache.

        Short panels from memory are taken one after the other, as they lie there:
        panels side by side are streams, each of which processors find anew.
        """
        down = Block(self.left, 1, 0, 1, 1, 0, self.depth)
        columns, tile = self.columns, row_panels(self.panels.target)
        across = Block(panels, PANEL_WIDTH, 0, columns, columns, 0, self.depth, True)
        short = self.depth < self.tuning("row_k")
        with T.If(tir.all(short, self.depth * columns > self.tuning("l2"))):
            with T.Then():
                one = replace(tile, columns=PANEL_WIDTH)
                replace(self, panels=one).multiply(down, across)
            with T.Else():
                replace(self, panels=tile).multiply(down, across)
        self._finish(True, down, across)

    def _direct(self, right: MatrixColumns, tile: Panels) -> None:
        """Rows of the right factor as they lie; columns past whole panels packed.

        In short steps along K, so that memory is read along the rows.
        """
        part, most = replace(self, panels=tile), self.tuning("direct_k")
        whole = self.columns & -PANEL_WIDTH
        depth = tir.max(tir.min(self.depth, most), 1)
        left = part._left_panel(depth)
        last = T.alloc_buffer((1, depth, PANEL_WIDTH), tile.dtype)
        passes = tir.max(ceil_div(self.depth, most), 1)
        with T.serial(0, passes) as step:
            k = step * most
            some = tir.min(self.depth - k, most)
            across = Block(right, PANEL_WIDTH, 0, whole, whole, k, some)
            beyond = self.columns - whole
            rest = Block(last, PANEL_WIDTH, whole, beyond, self.columns, k, some)
            with T.If(whole < self.columns), T.Then():
                right(rest)
            part._rows(left, across, step == passes - 1, rest)

    def _left_panel(self, depth: Expr, count: Expr = 1) -> Expr:
        tile = self.panels
        if tile.form == "rows":
            return self.left
        lanes = [tile.broadcast] * (tile.broadcast > 1)
        shape = (count, tir.max(depth, 1), tile.rows, *lanes)
        return T.alloc_buffer(shape, tile.dtype)

    def _rows(self, left: Expr, across: Block, last: Expr, rest: Expr = None) -> None:
        """Every row by a block of the right factor, and by the rest of its columns."""
        tile = self.panels
        with T.serial(0, ceil_div(self.rows, tile.rows)) as ic:
            i = ic * tile.rows
            rows = tir.min(self.rows - i, tile.rows)
            whole = (i, rows, self.rows, across.start, across.depth)
            down = Block(left, tile.rows, *whole)

            def tiles() -> None:
                if tile.form != "rows":
                    self.left(down)
                if rest is None:
                    self.multiply(down, across, last)
                    return
                for block in (across, rest):
                    with T.If(block.count > 0), T.Then():
                        self.multiply(down, block, last)

            alone = rest is None and isinstance(self.left, MatrixRows)
            if alone and tile.lanes > 1 and tile.kind == "f32":
                # A tile takes longer than the few last rows take by themselves.
                with T.If(rows * self.tuning("last_rows") <= tile.rows):
                    with T.Then():
                        one = replace(self, panels=row_panels(tile.target))
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
        tall = packed_at_once(tile.target, self.rows, depth, tile.rows, tile.broadcast)
        left = self._left_panel(depth, ceil_div(tall, tile.rows))
        tall = materialized(tall)
        across = Block(
            self.right.panels, PANEL_WIDTH, 0, columns, columns, 0, depth, True
        )
        with T.serial(0, ceil_div(self.rows, tall)) as part:
            i = part * tall
            rows = tir.min(tall, self.rows - i)
            down = Block(left, tile.rows, i, rows, self.rows, 0, depth)
            if tile.form != "rows":
                self.left(down)
            self.by_panels(down, across)

    def by_panels(self, down: Block, across: Block) -> None:
        """Multiply two blocks; each panel of the right one is read once."""
        with T.serial(0, across.panel_count()) as panel:
            first = across.first + panel * PANEL_WIDTH
            count = tir.min(across.count - panel * PANEL_WIDTH, PANEL_WIDTH)
            self.by_depth(down, replace(across, first=first, count=count))

    def by_depth(self, down: Block, across: Block) -> None:
        """Multiply two blocks by parts of the depth: panels of both stay in L1."""
        depth = across.depth
        parts = materialized(tir.max(ceil_div(depth, self.tuning("panel_k")), 1))
        length = materialized(ceil_div(depth, parts))
        with T.serial(0, parts) as part:
            begin = part * length
            start, some = across.start + begin, tir.min(depth - begin, length)
            chunk = {"start": start, "depth": some}
            self.multiply(
                replace(down, part=begin, **chunk),
                replace(across, **chunk),
                start + some == self.depth,
            )

    def by_width(self, down: Block, across: Block) -> None:
        """Multiply two blocks, up to 4 columns past whole panels by half a tile."""
        if self.panels.lanes == 1:  # scalars have no vectors to fill
            return self.multiply(down, across)
        rest = tir.truncmod(across.count, PANEL_WIDTH)
        wide = across.count - rest
        whole = materialized(tir.Select(rest <= PANEL_WIDTH // 2, wide, across.count))
        half = replace(self.panels, columns=PANEL_WIDTH // 2, dense=False)
        with T.If(whole > 0), T.Then():
            self.multiply(down, replace(across, count=whole))
        with T.If(whole < across.count), T.Then():
            first, panel = across.first + whole, tir.truncdiv(whole, PANEL_WIDTH)
            last = replace(across, first=first, count=rest, panel=panel)
            replace(self, panels=half).multiply(down, last)

    def multiply(self, down: Block, across: Block, last: Expr = True) -> None:
        """Multiply two packed blocks; last: whether K ends with them."""
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
            down.count,
            across.count,
            down.panel_bytes(),
            *across.steps(),
            self.step * WORD,
            start.row if start else 0,
            start.vector if start else 0,
            *self._limits(last),
        )

    def _limits(self, last: Expr) -> list[Expr]:
        if self.panels.kind != "f32":
            return []
        infinite = [tir.const(v, "float32") for v in (-math.inf, math.inf)]
        if self.limits is None:
            return infinite
        return [
            tir.Select(last, limit, none) if last is not True else limit
            for limit, none in zip(self.limits, infinite, strict=True)
        ]

    def _finish(self, last: Expr, down: Block, across: Block) -> None:
        """Apply `finish` to the block that is done, while it is in cache."""
        if self.finish is None:
            return
        with (
            T.If(last),
            T.Then(),
            T.serial(0, down.count) as r,
            T.serial(0, across.count) as c,
        ):
            i, j = down.first + r, across.first + c
            at = self.place(i, j)
            T.buffer_store(self.out, self.finish(i, j, self.out[tuple(at)]), at)
