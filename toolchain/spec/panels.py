"""Panels: how the factors of a matrix product are tiled and packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from toolchain.spec import microkernels as micro
from toolchain.spec.nest import call, ceil_div, pointer
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.tvm import tir

WIDTH = 8  # columns of a panel of the right factor, on every target
# Columns up to which shuffles are as fast as splat panels, with FMA and mul+add.
NARROW = 48, 16
# Elements of a factor that are packed at a time: 512 KiB, of an L2 of 1 MiB or more.
BLOCK = 1 << 17


@dataclass(frozen=True)
class Panels:
    """The tile for a target, and the block of a factor that is packed at a time.

    kind: of the micro-kernel, f32 or i32. form: of the left panel, as
    toolchain/micro/tile.py has it. rows, columns: of a tile. lanes: units
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
        return self.lanes if self.form == "splat" else 1

    def micro_kernel(self, packed: bool) -> str:
        """Name of the micro-kernel of one tile; packed: whether the right factor is."""
        dense = packed and self.dense
        return micro.GEMM(self.kind, self.form, self.rows, self.columns, dense)


def panels(kernel: Any, kind: str) -> Panels:
    """The tile that suits a kernel's target; see toolchain/micro/microkernels.md."""
    target = kernel.target
    if not target.has("simd128"):
        return Panels(kind, "load", 2, 8, 1)
    if kind != "f32":
        return Panels(kind, "shuffle", 4, 8, 4)
    if target.accumulating:
        return Panels(kind, "load", 6, 8, 4)
    return Panels(kind, "splat", 4, 8, 4, dense=target.contract)


def shuffled_panels(kernel: Any) -> Panels:
    """The tile where panels of the left factor come from L2: splat, they are larger.

    FMA leaves room for shuffles; mul+add does not.
    """
    tile = panels(kernel, "f32")
    shuffled = kernel.target.overwrites_factor
    return replace(tile, form="shuffle", dense=False) if shuffled else tile


def small_n_panels(kernel: Any, columns: Any) -> tuple[Panels, Any]:
    """The tile where the right factor has few panels, and whether it has.

    A left panel that is used a few times is not worth a splat. With mul+add a second
    nest is not worth its code, but in models, which know their sizes, there is one.
    """
    tile = panels(kernel, "f32")
    if tile.form != "splat":
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


def packed_at_once(lines: Any, depth: Any, width: int, lanes: int = 1) -> Any:
    """Rows or columns that are packed at a time: whole panels, in L2 if they fit.

    Not over max(depth, 1): inside loops over the depth TVM takes the depth for one
    or more, and the quotient out of them.
    """
    fits = tir.truncdiv(BLOCK // (width * lanes), depth + 1)
    return tir.min(tir.max(fits, 1), ceil_div(lines, width)) * width


Pack = Callable[[Block], None]


def pack_elements(load: Callable[[Any, Any], Any], contiguous: bool = True) -> Pack:
    """Pack load(line, unit), unit by unit; the last line stands in for those past it.

    contiguous: whether neighbouring lines lie side by side in memory.
    """

    def pack(block: Block) -> None:
        # A splat unit is a vector by itself.
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
    if block.broadcast > 1:
        name = micro.SPLAT(block.width)
    else:
        name = micro.PACK(len(places) + 1, block.width)
    units, count, jump = runs
    call(
        name,
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
