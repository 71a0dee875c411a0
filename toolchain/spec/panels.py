"""Matrix products over packed panels: the loop nest around a micro-kernel.

`product` is the one nest of matmul, gemm and conv: blocks of both
factors are packed into panels, each pair of panels goes through a micro-kernel
(toolchain/micro/builder.py), tiles at the edge through a small buffer. How a factor is
packed is the operator's: rows of a matrix, columns of one, or an image's windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolchain.spec import Pointwise, te, tir
from toolchain.spec import math as m
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.math import SYMBOL

# Sizes of the blocks, in units. A panel of the left factor (at most 4 x 512 vectors, 32
# KiB) stays in L1, the right block (1 MiB) about in L2: half of it is 1 % slower.
DEPTH, COLUMNS = 512, 512
CHUNK = 640  # units at most of a product by panels
WIDTH = 8  # columns of a panel of the right factor, on every target
# Up to these rows, packing the right factor costs more than it gives; it is read by so
# many units at a time.
FEW, UNITS = 8, 32
# Units of a panel below which one row takes panels one by one.
SHORT = 768
# Columns up to which shuffles are as fast as spread panels, with FMA and mul+add.
NARROW = 48, 16
# Elements of a factor that are packed at a time: 512 KiB, of an L2 of 1 MiB or more.
BLOCK = 1 << 17
# What a micro-kernel's sums start from.
FROM_ZERO, FROM_START, FROM_OUT = 0, 1, 2


@dataclass(frozen=True)
class Panels:
    """The tile for a target, and the block of a factor that is packed at a time.

    kind: of the micro-kernel, f32 or i32. form: of the left panel, as
    toolchain/micro/builder.py's Tile has it. rows, columns: of a tile. lanes: units
    in a register. dense: whether packed right factors have a micro-kernel of their own.
    """

    kind: str
    form: str
    rows: int
    columns: int
    lanes: int
    dense: bool = False

    @property
    def dtype(self) -> str:
        """Dtype of a unit of a panel, and of the sums."""
        return "float32" if self.kind == "f32" else "int32"

    @property
    def broadcast(self) -> int:
        """Elements that a unit of the left panel is repeated to."""
        return self.lanes if self.form == "spread" else 1

    def micro_kernel(self, packed: bool) -> str:
        """Name of the micro-kernel of one tile; packed: whether the right factor is."""
        name = f"micro_gemm_{self.kind}_{self.form}_{self.rows}x{self.columns}"
        return name + "_dense" * (packed and self.dense)


def panels(kernel: Any, kind: str) -> Panels:
    """The tile that suits a kernel's target; see toolchain/micro/microkernels.md."""
    target = kernel.target
    if not target.has("simd128"):
        return Panels(kind, "load", 2, 8, 1)
    if kind != "f32":
        return Panels(kind, "shuffle", 4, 8, 4)
    if target.accumulating:
        return Panels(kind, "load", 6, 8, 4)
    return Panels(kind, "spread", 4, 8, 4, dense=target.contract)


def shuffled_panels(kernel: Any) -> Panels:
    """The tile where panels of the left factor come from L2: spread, they are larger.

    FMA leaves room for shuffles; mul+add does not.
    """
    tile = panels(kernel, "f32")
    shuffled = kernel.target.overwrites_factor
    return replace(tile, form="shuffle", dense=False) if shuffled else tile


def small_n_panels(kernel: Any, columns: Any) -> tuple[Panels, Any]:
    """The tile where the right factor has few panels, and whether it has.

    A left panel that is used a few times is not worth spreading. With mul+add a second
    nest is not worth its code, but in models, which know their sizes, there is one.
    """
    tile = panels(kernel, "f32")
    if tile.form != "spread":
        return tile, False
    narrow = replace(tile, form="shuffle", dense=False)
    fused = kernel.target.overwrites_factor
    most = NARROW[0 if fused else 1]
    if isinstance(columns, int | tir.IntImm):
        return narrow, int(columns) <= most
    return narrow, columns <= most if fused else False


def unpacked(tile: Panels) -> Panels:
    """The tile of a left factor with rows in memory: to load units packs nothing.

    Without SIMD one tile, for rows and windows, is less code.
    """
    loads = tile.form == "load" and tile.lanes > 1
    return replace(tile, form="rows") if loads else tile


def small_m_panels(kernel: Any) -> Panels:
    """The tile of few rows: 4, so that 8 of them are whole tiles."""
    return replace(unpacked(shuffled_panels(kernel)), rows=4)


def row_panels(kernel: Any) -> Panels:
    """The tile of one row.

    Sums and loads of 24 columns fit the registers; of 32, cranelift, which loads first
    what a step needs, spills two sums.
    """
    columns = 32 if kernel.target.accumulating else 24
    return Panels("f32", "rows", 1, columns, 4, dense=True)


@dataclass(frozen=True)
class Block:
    """Part of a factor to pack: rows of the left one, columns of the right one.

    `lines` of them from `first`, of `size` in all, by `depth` units from `start`.
    Unit k of line i of panel p goes to buffer[p, k, i]; a panel has `width` lines.
    packed: the buffer holds the whole factor already, from line and unit 0; if not,
    panel, part: of what it holds, the panel and unit to begin with.
    """

    buffer: Any
    width: int
    first: Any
    lines: Any
    size: Any
    start: Any
    depth: Any
    packed: bool = False
    panel: Any = 0
    part: Any = 0

    @property
    def broadcast(self) -> int:
        """Elements that a unit of the buffer is repeated to."""
        return int(self.buffer.shape[3]) if len(self.buffer.shape) > 3 else 1

    def panel_count(self) -> Any:
        """Panels, the last perhaps partly filled."""
        return ceil_div(self.lines, self.width)

    def put(self, value: Any, p: Any, k: Any, i: Any) -> None:
        """Store unit k of line i of panel p."""
        if self.broadcast > 1:
            with T.vectorized(0, self.broadcast) as v:
                T.buffer_store(self.buffer, value, [p, k, i, v])
        else:
            T.buffer_store(self.buffer, value, [p, k, i])

    def pointer(self, panel: Any = 0, unit: Any = 0, line: Any = 0) -> Any:
        """Address in the buffer."""
        indices = [panel, unit, line, 0][: len(self.buffer.shape)]
        return pointer(self.buffer, indices, "r" if self.packed else "rw")

    def data(self) -> Any:
        """Address of the block's first unit."""
        if isinstance(self.buffer, MatrixColumns):
            return self.buffer.at(self.start, self.first)
        if isinstance(self.buffer, MatrixRows):
            return self.buffer.at(self.first, self.start)
        if not self.packed:
            return self.pointer(self.panel, self.part)
        return self.pointer(tir.truncdiv(self.first, self.width), self.start)

    def panel_bytes(self) -> Any:
        """Bytes from a panel of the left factor to the next, or from a row."""
        if isinstance(self.buffer, MatrixRows):
            return self.buffer.stride * 4
        return self.buffer.shape[1] * (self.width * self.broadcast * 4)

    def steps(self) -> tuple[Any, Any]:
        """Bytes from a panel to the next, and from a unit to the next."""
        if isinstance(self.buffer, MatrixColumns):
            return self.width * 4, self.buffer.stride * 4
        return self.panel_bytes(), self.width * 4


def ceil_div(a: Any, b: Any) -> Any:
    """Smallest integer >= a / b, for a >= 0.

    Not by floordiv: TVM's LowerIntrin searches for a proof of signs, for seconds.
    """
    return tir.truncdiv(a + b - 1, b)


def packed_at_once(lines: Any, depth: Any, width: int, spread: int = 1) -> Any:
    """Rows or columns that are packed at a time: whole panels, in L2 if they fit.

    Not over max(depth, 1): inside loops over the depth TVM takes the depth for one
    or more, and the quotient out of them.
    """
    fits = tir.truncdiv(BLOCK // (width * spread), depth + 1)
    return tir.min(tir.max(fits, 1), ceil_div(lines, width)) * width


def materialized(value: Any) -> Any:
    """A variable with an index's value, through memory: LLVM makes a register of it.

    TVM puts a bound expression back wherever its variable is used, and simplifies it
    there in every pass, for seconds; a load it leaves alone.
    """
    if isinstance(value, int):
        return value
    cell = T.alloc_buffer((1,), str(value.expr_ty().dtype))
    T.buffer_store(cell, value, [0])
    return T.Bind(cell[0])


Pack = Callable[[Block], None]


def pack_elements(load: Callable[[Any, Any], Any], contiguous: bool = True) -> Pack:
    """Pack load(line, unit), unit by unit; the last line stands in for those past it.

    contiguous: whether neighbouring lines lie side by side in memory.
    """

    def pack(block: Block) -> None:
        # A spread unit is a vector by itself.
        lanes = T.vectorized if contiguous and block.broadcast == 1 else T.serial
        with T.serial(0, block.panel_count()) as p, T.serial(0, block.depth) as k:
            line, unit = block.first + p * block.width, block.start + k
            with T.If(line + block.width <= block.size):
                with T.Then(), lanes(0, block.width) as i:
                    block.put(load(line + i, unit), p, k, i)
                with T.Else(), T.serial(0, block.width) as i:
                    inside = tir.min(line + i, block.size - 1)
                    block.put(load(inside, unit), p, k, i)

    return pack


@dataclass(frozen=True)
class MatrixRows:
    """The rows of a matrix with 4-byte elements. As a Pack: its lines are those rows.

    stride: elements from one row to the next. ahead: rows before its first.
    """

    source: Any
    stride: Any
    target: Any
    ahead: Any = 0

    def at(self, row: Any, column: Any) -> Any:
        """Address of an element."""
        offset = (row + self.ahead) * self.stride + column
        return self.source.access_ptr("r", offset=offset)

    def __call__(self, block: Block) -> None:
        """Pack rows."""

        def some(p: Any, first: Any, lines: int) -> None:
            line = tir.min(block.first + p * block.width + first, block.size - 1)
            start = self.at(line, block.start)
            places = repeated(lines, block.size - line, self.stride)
            put_rows(block, p, 0, first, start, places, (block.depth, 1, 0))

        each_group(block, self.target, some)


class MatrixColumns(MatrixRows):
    """The columns of a matrix [units, lines]; as a Pack: its lines are those."""

    def __call__(self, block: Block) -> None:
        """Pack columns."""
        pack_elements(lambda line, unit: self.source[unit, line])(block)


def each_group(
    block: Block, target: Any, body: Callable[[Any, Any, int], None]
) -> None:
    """body(p, first, lines): lines of panel p that `put_rows` takes together."""
    together = 4 if target.has("simd128") else 1
    if block.broadcast > 1:
        together = block.width
    groups, rest = divmod(block.width, together)
    with T.serial(0, block.panel_count()) as p:
        with T.serial(0, groups) as part:
            body(p, part * together, together)
        if rest:
            body(p, groups * together, rest)


def repeated(lines: int, valid: Any, stride: Any) -> list[Any]:
    """Where lines after the first lie, `stride` apart; after `valid` the last again."""
    return [tir.min(i, valid - 1) * stride for i in range(1, lines)]


def put_rows(
    block: Block,
    p: Any,
    k: Any,
    first: Any,
    source: Any,
    places: list[Any],
    runs: tuple[Any, Any, Any],
) -> None:
    """Transpose lines into panel p from unit k and line `first` on.

    source: pointer to the first of them; places: of the others, in elements from it.
    runs: units in a row, how many such runs, and elements from one to the next.
    """
    form = "spread" if block.broadcast > 1 else f"pack_{len(places) + 1}"
    units, count, jump = runs
    call(
        f"micro_{form}_{block.width}",
        source,
        block.pointer(p, k, first),
        *(units, count, jump * 4),
        *(place * 4 for place in places),
    )


def either(condition: Any, yes: Pack, no: Pack) -> Pack:
    """Pack by `yes` or by `no`, as an attribute says."""

    def pack(block: Block) -> None:
        with T.If(condition):
            with T.Then():
                yes(block)
            with T.Else():
                no(block)

    return pack


def call(name: str, *arguments: Any) -> None:
    """Call a micro-kernel."""
    T.evaluate(tir.call_extern("int32", name, *arguments))


def each(name: str, x: Any, out: Any, n: Any, *others: Any, first: Any = 0) -> None:
    """Emit out[i] = f(x[i], *others), f of toolchain.spec.math, from `first`, n times.

    By stages (see toolchain/lower/functions.py), and without alignment or a multiple.
    """
    ends = (x.access_ptr("r", offset=first), out.access_ptr("w", offset=first))
    call(f"{SYMBOL}array_{name}", *ends, n, *others)


def add_up(name: str, x: Any, out: Any, n: Any, *others: Any, first: Any) -> None:
    """Emit the same; the last of `others` points to where the sum of all out[i] goes.

    It is infinity, and there are no results, where an element is beyond limits of f.
    """
    each(f"sum_{name}", x, out, n, *others, first=first)


def function(name: str, *others: float) -> Pointwise:
    """Compute of an elementwise operator: out[i] = f(x[i], *others).

    name: of a function of toolchain.spec.math.
    """

    def constants() -> Iterator[Any]:
        return (tir.const(v, "float32") for v in others)

    def formula(k: Any, x: Any) -> Any:
        return getattr(m, name)(x, *constants())

    def loops(k: Any) -> Any:
        def emit(ins: list[Any], out: Any) -> None:
            each(name, ins[0], out, k.n, *constants())

        return nest((k.n,), k.inputs, emit, k.dtype)

    return Pointwise(formula, loops)


def pointer(buffer: Any, indices: Sequence[Any], mode: str) -> Any:
    """Address of an element."""
    offset: Any = 0
    for index, size in zip(indices, buffer.shape, strict=True):
        offset = offset * size + index
    return buffer.access_ptr(mode, offset=offset)


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
    """A bias of each row, spread over vectors beforehand."""
    spread = T.alloc_buffer((rows, tile.lanes), tile.dtype)
    with T.serial(0, rows) as i, T.vectorized(0, tile.lanes) as v:
        T.buffer_store(spread, bias(i), [i, v])
    return Start(lambda i, j: pointer(spread, [i, 0], "r"), tile.lanes * 4, 0)


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
        spread = [tile.broadcast] * (tile.broadcast > 1)
        shape = (count, tir.max(depth, 1), tile.rows, *spread)
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


def nest(
    shape: Sequence[Any],
    inputs: Sequence[Any],
    emit: Callable[[list[Any], Any], None],
    dtype: str,
    name: str = "out",
) -> Any:
    """A tensor whose elements a loop nest computes: emit(input buffers, out)."""
    from tvm.script.ir_builder import IRBuilder

    def body(ins: list[Any], outs: list[Any]) -> Any:
        # A frame that holds several statements; the attribute itself says nothing.
        with IRBuilder() as builder, T.attr(tir.const(0, "int32"), "nest", "outer"):
            emit(ins, outs[0])
        return builder.get()

    buffers = [
        tir.decl_buffer(t.shape, t.dtype, t.op.name, layout=None) for t in inputs
    ]
    out = tir.decl_buffer(tuple(shape), dtype, name, layout=None)
    return te.extern(
        [tuple(shape)],
        list(inputs),
        body,
        name=name,
        in_buffers=buffers,
        out_buffers=[out],
    )


def as_written(schedule: Any, target: Any) -> None:
    """The schedule of an operator whose compute is a `nest`: there is none to add."""
