"""Panels: how the factors of a matrix product are tiled and packed.

The left factor is cut into panels of some rows, the right one into panels of some
columns; a panel holds its elements in the order in which a micro-kernel takes them,
element k of each row (column) beside that of the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from toolchain.spec import microkernels as micro
from toolchain.spec.nest import call, ceil_div, pointer
from toolchain.spec.tvm import Buffer, Expr, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

# Columns of a panel of the right factor, on every target: packed weights are portable.
PANEL_WIDTH = 8
WORD = 4  # bytes of an element of a panel


@dataclass(frozen=True)
class Panels:
    """The tile for a target, which says how both factors are packed.

    kind: of the micro-kernel, f32 or i32. form: of the left panel, as
    toolchain/micro/tile.py has it. rows, columns: of a tile. dense: whether
    packed right factors have a micro-kernel of their own.
    """

    target: Target
    kind: str
    form: str
    rows: int
    columns: int = PANEL_WIDTH
    dense: bool = False

    @property
    def lanes(self) -> int:
        """Elements in a register."""
        return self.target.lanes()

    @property
    def dtype(self) -> str:
        """Dtype of a panel's elements, and of the sums."""
        return "float32" if self.kind == "f32" else "int32"

    @property
    def broadcast(self) -> int:
        """How often an element of the left panel stands in it."""
        return self.lanes if self.form == "splat" else 1

    def micro_kernel(self, packed: bool) -> str:
        """Name of the micro-kernel of one tile; packed: whether the right factor is."""
        dense = packed and self.dense
        return micro.GEMM(self.kind, self.form, self.rows, self.columns, dense)


def panels(target: Target, kind: str) -> Panels:
    """The tile that suits a target; see toolchain/micro/microkernels.md."""
    if kind != "f32":
        form = "shuffle" if target.has("simd128") else "load"
        return Panels(target, kind, form, target.tuning("gemm.i32_rows"))
    rows = target.tuning("gemm.rows")
    if target.accumulating or not target.has("simd128"):
        return Panels(target, kind, "load", rows)
    return Panels(target, kind, "splat", rows, dense=target.contract)


def shuffled_panels(target: Target) -> Panels:
    """The tile for left panels that come from L2: splat, they are larger.

    FMA leaves room for shuffles; mul+add does not.
    """
    tile = panels(target, "f32")
    shuffled = target.overwrites_factor
    return replace(tile, form="shuffle", dense=False) if shuffled else tile


def small_n_panels(target: Target, columns: Expr) -> tuple[Panels, Expr]:
    """The tile for a right factor of few columns, and whether it has so few.

    A left panel that is used a few times is not worth a splat. With mul+add a
    second nest is not worth its code, except in models, which know their sizes.
    """
    tile = panels(target, "f32")
    if tile.form != "splat":
        return tile, False
    narrow = replace(tile, form="shuffle", dense=False)
    most = target.tuning("gemm.small_n")
    if isinstance(columns, int | tir.IntImm):
        return narrow, int(columns) <= most
    return narrow, columns <= most if target.overwrites_factor else False


def unpacked(tile: Panels) -> Panels:
    """The tile of a left factor whose rows lie in memory: a "load" tile packs nothing.

    Without SIMD one tile, for rows and windows, is less code.
    """
    loads = tile.form == "load" and tile.lanes > 1
    return replace(tile, form="rows") if loads else tile


def small_m_panels(target: Target) -> Panels:
    """The tile of a left factor of few rows."""
    tile = unpacked(shuffled_panels(target))
    return replace(tile, rows=target.tuning("gemm.small_m_rows"))


def row_panels(target: Target) -> Panels:
    """The tile of one row."""
    columns = target.tuning("gemm.row_columns")
    return Panels(target, "f32", "rows", 1, columns, dense=True)


@dataclass(frozen=True)
class Block:
    """Part of a factor to pack: rows of the left one, or columns of the right one.

    `count` rows (columns) from `first`, of `size` in all; of each, `depth` elements
    from `start`. Element k of row i of panel p goes to buffer[p, k, i]; a panel has
    `width` rows. packed: whether the buffer holds the whole factor already. If not,
    panel and part are the panel and the element of K in the buffer to begin with.
    """

    buffer: Buffer  # or MatrixRows, which are read as they lie
    width: int
    first: Expr
    count: Expr
    size: Expr
    start: Expr
    depth: Expr
    packed: bool = False
    panel: Expr = 0
    part: Expr = 0

    @property
    def broadcast(self) -> int:
        """How often an element stands in the buffer."""
        return int(self.buffer.shape[3]) if len(self.buffer.shape) > 3 else 1

    def panel_count(self) -> Expr:
        """Panels, the last perhaps partly filled."""
        return ceil_div(self.count, self.width)

    def put(self, value: Expr, p: Expr, k: Expr, i: Expr) -> None:
        """Store element k of row i of panel p."""
        if self.broadcast > 1:
            with T.vectorized(0, self.broadcast) as v:
                T.buffer_store(self.buffer, value, [p, k, i, v])
        else:
            T.buffer_store(self.buffer, value, [p, k, i])

    def pointer(self, panel: Expr = 0, k: Expr = 0, row: Expr = 0) -> Expr:
        """Address in the buffer."""
        indices = [panel, k, row, 0][: len(self.buffer.shape)]
        return pointer(self.buffer, indices, "r" if self.packed else "rw")

    def data(self) -> Expr:
        """Address of the block's first element."""
        if isinstance(self.buffer, MatrixColumns):
            return self.buffer.at(self.start, self.first)
        if isinstance(self.buffer, MatrixRows):
            return self.buffer.at(self.first, self.start)
        if not self.packed:
            return self.pointer(self.panel, self.part)
        return self.pointer(tir.truncdiv(self.first, self.width), self.start)

    def panel_bytes(self) -> Expr:
        """Bytes from a panel of the left factor to the next, or from row to row."""
        if isinstance(self.buffer, MatrixRows):
            return self.buffer.stride * WORD
        return self.buffer.shape[1] * (self.width * self.broadcast * WORD)

    def steps(self) -> tuple[Expr, Expr]:
        """Bytes from a panel to the next, and from an element of K to the next."""
        if isinstance(self.buffer, MatrixColumns):
            return self.width * WORD, self.buffer.stride * WORD
        return self.panel_bytes(), self.width * WORD


def packed_at_once(
    target: Target, count: Expr, depth: Expr, width: int, broadcast: int = 1
) -> Expr:
    """Rows or columns that are packed at a time: whole panels, in L2 if they fit.

    Not over max(depth, 1): inside loops over the depth TVM takes the depth for one
    or more, and moves the quotient out of them.
    """
    most = target.tuning("gemm.l2") // (width * broadcast)
    fits = tir.truncdiv(most, depth + 1)
    return tir.min(tir.max(fits, 1), ceil_div(count, width)) * width


Pack = Callable[[Block], None]


def pack_elements(load: Callable[[Expr, Expr], Expr], contiguous: bool = True) -> Pack:
    """Pack load(row, k), element by element; past the last row it is packed again.

    contiguous: whether neighbouring rows lie side by side in memory.
    """

    def pack(block: Block) -> None:
        # A splat element is a vector by itself.
        lanes = T.vectorized if contiguous and block.broadcast == 1 else T.serial
        with T.serial(0, block.panel_count()) as p, T.serial(0, block.depth) as k:
            row, at = block.first + p * block.width, block.start + k
            with T.If(row + block.width <= block.size):
                with T.Then(), lanes(0, block.width) as i:
                    block.put(load(row + i, at), p, k, i)
                with T.Else(), T.serial(0, block.width) as i:
                    inside = tir.min(row + i, block.size - 1)
                    block.put(load(inside, at), p, k, i)

    return pack


@dataclass(frozen=True)
class MatrixRows:
    """The rows of a matrix with 4-byte elements; as a Pack it packs rows.

    stride: elements from one row to the next. ahead: rows before the first.
    """

    source: Buffer
    stride: Expr
    target: Target
    ahead: Expr = 0

    def at(self, row: Expr, column: Expr) -> Expr:
        """Address of an element."""
        offset = (row + self.ahead) * self.stride + column
        return self.source.access_ptr("r", offset=offset)

    def __call__(self, block: Block) -> None:
        """Pack rows."""

        def some(p: Expr, first: Expr, count: int) -> None:
            row = tir.min(block.first + p * block.width + first, block.size - 1)
            start = self.at(row, block.start)
            places = repeated(count, block.size - row, self.stride)
            put_rows(block, p, 0, first, start, places, (block.depth, 1, 0))

        each_group(block, self.target, some)


class MatrixColumns(MatrixRows):
    """The columns of a matrix [K, columns]; as a Pack it packs columns."""

    def __call__(self, block: Block) -> None:
        """Pack columns."""
        pack_elements(lambda column, k: self.source[k, column])(block)


def each_group(
    block: Block, target: Target, body: Callable[[Expr, Expr, int], None]
) -> None:
    """body(p, first, count): rows of panel p that `put_rows` takes together."""
    together = block.width if block.broadcast > 1 else target.lanes()
    groups, rest = divmod(block.width, together)
    with T.serial(0, block.panel_count()) as p:
        with T.serial(0, groups) as part:
            body(p, part * together, together)
        if rest:
            body(p, groups * together, rest)


def repeated(count: int, valid: Expr, stride: Expr) -> list[Expr]:
    """Where rows after the first lie, `stride` apart; after `valid` the last again."""
    return [tir.min(i, valid - 1) * stride for i in range(1, count)]


def put_rows(
    block: Block,
    p: Expr,
    k: Expr,
    first: Expr,
    source: Expr,
    places: list[Expr],
    runs: tuple[Expr, Expr, Expr],
) -> None:
    """Transpose rows into panel p, from element k and row `first` of the panel on.

    source: pointer to the first row; places: of the other rows, in elements from it.
    runs: elements side by side, how many such runs, and elements from one to the next.
    """
    if block.broadcast > 1:
        name = micro.SPLAT(block.width)
    else:
        name = micro.PACK(len(places) + 1, block.width)
    length, count, jump = runs
    call(
        name,
        source,
        block.pointer(p, k, first),
        *(length, count, jump * WORD),
        *(place * WORD for place in places),
    )


def either(condition: Expr, yes: Pack, no: Pack) -> Pack:
    """Pack by `yes` or by `no`, as an attribute says."""

    def pack(block: Block) -> None:
        with T.If(condition):
            with T.Then():
                yes(block)
            with T.Else():
                no(block)

    return pack
