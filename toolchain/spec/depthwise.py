"""Depthwise convolution: every channel has windows of its own.

Planes with 3 x 3 taps are in toolchain/spec/regions.py. Of other planes a block is
copied with its pads, and its columns are split by phase: if windows lie `stride`
columns apart, columns i, i + stride, i + 2 stride, ... come to lie side by side. Then
tap (r, s) of neighbouring windows is contiguous for every stride and dilation, and one
micro-kernel
(toolchain/micro/fold.py) folds tiles of 4 rows by 8 columns over a table of
taps, without a case for edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

from toolchain.spec import Buffer, Expr, Kernel, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.convolution import Axis, Spatial
from toolchain.spec.nest import call, ceil_div, choose, materialized, pointer
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

COLUMNS = 8  # of a tile: two registers
LANES = 4  # of a register
TAPS = 3  # along each axis, of windows that have a micro-kernel of their own
INFINITY = float("inf")
WORD = 4  # bytes of an element


def suits(target: Target, spatial: Spatial, columns: Expr) -> Expr:
    """Whether `Planes` serves these windows; a condition."""
    most = Limits.of(target)
    return tir.all(
        *(a.reach <= most.reach for a in spatial),
        *(a.stride <= most.stride for a in spatial),
        spatial[1].padded <= most.padded,
        columns >= COLUMNS,
    )


@dataclass(frozen=True)
class Limits:
    """The largest windows, strides and padded rows that are worth a copy of a plane."""

    reach: int
    stride: int
    padded: int

    @staticmethod
    def of(target: Target) -> Limits:
        """The limits of a target."""
        return Limits(*(target.tuning(f"depthwise.{f.name}") for f in fields(Limits)))

    def bound(self, axis: Axis) -> Axis:
        """The axis, cut to the limits."""
        return replace(
            axis,
            size=tir.min(axis.size, self.padded),
            taps=tir.min(axis.taps, self.reach + 1),
            stride=tir.min(axis.stride, self.stride),
            begin=tir.min(axis.begin, self.padded),
            end=tir.min(axis.end, self.padded),
            dilation=tir.min(axis.dilation, self.reach),
        )


def _width(target: Target) -> int:
    """Columns of the micro-kernel's tile; without SIMD a column is a register."""
    return COLUMNS if target.has("simd128") else COLUMNS // LANES


def _micro_kernel(target: Target) -> str:
    """Name of the micro-kernel that folds a tile."""
    return micro.FOLD(target.tuning("depthwise.rows"), _width(target))


class Block:
    """Part of a padded plane: buffer[row, phase, i] is column i * stride + phase."""

    def __init__(self, target: Target, spatial: Spatial, rows: Expr) -> None:
        self.vectors = target.has("simd128")
        # Where `suits` holds, nothing is cut; TVM allocates before it asks.
        limits = Limits.of(target)
        y, x = (limits.bound(a) for a in spatial)
        height = target.tuning("depthwise.rows")  # of a tile
        self.y, self.x = y, x
        self.pitch = ceil_div(x.padded, x.stride) + COLUMNS
        self.row = x.stride * self.pitch
        most = target.tuning("depthwise.block")
        room = tir.truncdiv(most, self.row) - y.reach - 1
        fitting = tir.truncdiv(tir.max(room, 0), y.stride) + 1
        # Blocks of equal height, in whole tiles; the last may overlap its neighbour.
        parts = ceil_div(rows, tir.max(fitting, height))
        tiles = ceil_div(ceil_div(rows, tir.max(parts, 1)), height)
        self.rows = tir.min(rows, tiles * height)
        self.height = (self.rows - 1) * y.stride + y.reach + 1
        self.buffer = T.alloc_buffer((self.height, x.stride, self.pitch), "float32")

    def hold(self) -> None:
        """Hold its sizes, once nothing more is allocated by them."""
        self.y, self.x = (
            Axis(*(materialized(getattr(a, f.name)) for f in fields(a)))
            for a in (self.y, self.x)
        )
        self.pitch, self.row = materialized(self.pitch), materialized(self.row)
        self.rows, self.height = materialized(self.rows), materialized(self.height)

    def clear(self) -> None:
        """Zero it: copies leave the pads beside the image as they are."""
        self._zero(0, self.height)

    def _zero(self, start: Expr, count: Expr) -> None:
        with (
            T.serial(0, count) as i,
            T.serial(0, self.x.stride) as p,
            T.serial(0, self.pitch) as j,
        ):
            T.buffer_store(self.buffer, tir.const(0, "float32"), [start + i, p, j])

    def copy(self, image: Buffer, n: Expr, channel: Expr, first: Expr) -> None:
        """Rows of a channel for the output rows from `first`."""
        top = self.y.first(first)
        with T.serial(0, self.height) as i:
            row = top + i
            with T.If(tir.all(row >= 0, row < self.y.size)):
                with T.Then():
                    self._copy_row(image, [n, channel, row], i)
                with T.Else():
                    self._zero(i, 1)

    def _copy_row(self, image: Buffer, row: list[Expr], i: Expr) -> None:
        x = self.x
        skipped = tir.truncmod(x.begin, x.stride)

        def phases() -> None:
            with T.serial(0, x.stride) as p:
                first = tir.truncmod(x.stride + p - skipped, x.stride)
                start = tir.truncdiv(first + x.begin, x.stride)
                count = tir.max(ceil_div(x.size - first, x.stride), 0)
                with T.serial(0, count) as j:
                    value = image[(*row, first + j * x.stride)]
                    T.buffer_store(self.buffer, value, [i, p, start + j])

        def whole() -> None:
            source = pointer(image, [*row, 0], "r")
            target = pointer(self.buffer, [i, 0, x.begin], "w")
            call(micro.COPY(), source, target, 0, 0, 1, x.size * WORD)

        paths: list[tuple[Expr, Callable[[], None]]] = []
        if self.vectors:
            paths.append((tir.all(x.stride == 1, x.size >= LANES), whole))
        choose(paths, phases)

    def fill_taps(self, table: Buffer) -> None:
        """Taps as the micro-kernel takes them: where they and their weights lie."""
        y, x = self.y, self.x
        with T.serial(0, y.taps) as r, T.serial(0, x.taps) as s:
            at, tap = s * x.dilation, r * x.taps + s
            phase, column = tir.truncmod(at, x.stride), tir.truncdiv(at, x.stride)
            offset = r * y.dilation * self.row + phase * self.pitch + column
            T.buffer_store(table, offset * WORD, [tap, 0])
            T.buffer_store(table, (tap + 1) * COLUMNS * WORD, [tap, 1])


class Planes:
    """out[n, m] from channel m // (M / C) of the image, for groups of one channel.

    Made where its buffers may be allocated whether or not it is used.
    """

    def __init__(self, k: Kernel, spatial: Spatial, out: Buffer) -> None:
        self.k, self.out = k, out
        self.block = Block(k.target, spatial, out.shape[2])
        self.taps = self.block.y.taps * self.block.x.taps
        self.table = T.alloc_buffer((self.taps, 2), "int32")
        self.weights = T.alloc_buffer((self.taps + 1, COLUMNS), "float32")
        self.block.hold()
        self.taps = materialized(self.taps)

    def emit(self, ins: list[Buffer]) -> None:
        """Block by block of each channel."""
        image, w, b = ins
        block, rows = self.block, self.out.shape[2]
        per = tir.truncdiv(self.k.M, self.k.group)
        block.fill_taps(self.table)
        block.clear()
        with (
            T.serial(0, self.k.N) as n,
            T.serial(0, self.k.group) as g,
            T.serial(0, ceil_div(rows, block.rows)) as part,
        ):
            first = tir.min(part * block.rows, rows - block.rows)
            block.copy(image, n, g, first)
            with T.serial(0, per) as j:
                m = g * per + j
                self._broadcast(w, b, m)
                self._rows([n, m], first)

    def _broadcast(self, w: Buffer, b: Buffer, m: Expr) -> None:
        """The bias, then the weights of a feature, each a row of equal elements."""
        with T.vectorized(0, COLUMNS) as i:
            T.buffer_store(self.weights, b[m], [0, i])
        columns = self.block.x.taps
        with (
            T.serial(0, self.block.y.taps) as r,
            T.serial(0, columns) as s,
            T.vectorized(0, COLUMNS) as i,
        ):
            T.buffer_store(self.weights, w[m, 0, r, s], [r * columns + s + 1, i])

    def _rows(self, plane: list[Expr], first: Expr) -> None:
        """A block of the output, from row `first`."""
        height = self.k.target.tuning("depthwise.rows")
        with T.serial(0, ceil_div(self.block.rows, height)) as t:
            row = t * height
            out = pointer(self.out, [*plane, first + row, 0], "w")
            self._fold(row, tir.min(self.block.rows - row, height), out)

    def _fold(self, row: Expr, height: Expr, out: Buffer) -> None:
        """Call the micro-kernel for `height` rows of a block, from `row`."""
        block, weights = self.block, self.weights.access_ptr("r")
        y, width, columns = block.y, _width(self.k.target), self.out.shape[3]
        call(
            _micro_kernel(self.k.target),
            pointer(block.buffer, [row * y.stride, 0, 0], "r"),
            weights,
            weights,
            self.table.access_ptr("r"),
            out,
            self.taps,
            height,
            columns,
            width,
            y.stride * block.row * WORD,
            columns * WORD,
            WORD,
            WORD,
        )


class PixelRows:
    """out[n, y, x] over the channels of x [N, H, W, C], with w [R, S, C] and b [C].

    Nothing is copied: an output row takes the rows of taps that lie in the image, as
    do the pixels at its ends with columns of taps. The rest of the row, its middle,
    is one call for each vector of channels.
    """

    def __init__(
        self, k: Kernel, spatial: Spatial, ins: list[Buffer], out: Buffer
    ) -> None:
        self.k, self.out = k, out
        self.image, self.w, self.b = ins
        self.y, self.x = y, x = spatial
        self.pixel = k.C * WORD
        self.columns = out.shape[2]
        low = x.windows_of(0, self.columns)[0]
        high = tir.max(x.windows_of(x.taps - 1, self.columns)[1], low)
        self.middle = low, high
        self.full, self.part = (
            T.alloc_buffer((y.taps * x.taps, 2), "int32") for _ in range(2)
        )

    def emit(self) -> None:
        """Row by row."""
        y, x = self.y, self.x
        self._taps(self.full, y.taps, x.taps)
        low, high = self.middle
        with T.serial(0, self.k.N) as n, T.serial(0, self.out.shape[1]) as row:
            rows = y.taps_inside(row)
            with T.If(low < high), T.Then():
                self._middle(n, row, rows)
            with T.serial(0, low) as column:
                self._end(n, row, rows, column)
            with T.serial(0, self.columns - high) as i:
                self._end(n, row, rows, high + i)
            self._limit(n, row)

    def _taps(self, table: Buffer, rows: Expr, columns: Expr) -> None:
        y, x = self.y, self.x
        with T.serial(0, rows) as r, T.serial(0, columns) as s:
            place = (r * y.dilation * x.size + s * x.dilation) * self.pixel
            tap = r * columns + s
            T.buffer_store(table, place, [tap, 0])
            T.buffer_store(table, (r * x.taps + s) * self.pixel, [tap, 1])

    def _middle(self, n: Expr, row: Expr, rows: Expr) -> None:
        """Pixels all of whose columns of taps lie in the image."""
        y, x, (low, high) = self.y, self.x, self.middle
        count, lanes = high - low, self.k.target.lanes()
        slides = tir.all(
            *(y.taps == TAPS, x.taps == TAPS, x.dilation == 1, x.stride <= 2),
            *(rows[1] - rows[0] == TAPS, lanes <= self.k.C),
        )

        def tiles() -> None:
            height = tir.min(count, self.k.target.tuning("depthwise.rows"))
            self._fold((n, row, low), rows, 0, self.full, x.taps, height, count)

        paths = [
            (tir.all(slides, x.stride == stride), partial(self._slide, stride, n, row))
            for stride in (1, 2)
        ]
        choose(paths, tiles)

    def _slide(self, stride: int, n: Expr, row: Expr) -> None:
        """Blocks of pixels that stay in L1, as each register of channels takes them."""
        y, x, (low, high) = self.y, self.x, self.middle
        count, number = high - low, self.k.target.tuning
        taken = number("depthwise.taken")
        fitting = tir.truncdiv(taken, self.k.C * (TAPS * stride))
        parts = ceil_div(count, tir.max(fitting, number("depthwise.fewest")))
        size = materialized(ceil_div(count, materialized(parts)))
        with T.serial(0, ceil_div(count, size)) as part:
            first = low + part * size
            call(
                micro.SLIDE(stride),
                pointer(self.image, [n, y.first(row), x.first(first), 0], "r"),
                self.w.access_ptr("r"),
                self.b.access_ptr("r"),
                pointer(self.out, [n, row, first, 0], "w"),
                *(tir.min(size, high - first), self.k.C, self.pixel, self.pixel),
                *(y.dilation * x.size * self.pixel, self.pixel, TAPS * self.pixel, 1),
            )

    def _end(self, n: Expr, row: Expr, rows: Expr, column: Expr) -> None:
        """A pixel some of whose columns of taps lie outside."""
        first, last = self.x.taps_inside(column)
        self._taps(self.part, rows[1] - rows[0], last - first)
        self._fold((n, row, column), rows, first, self.part, last - first, 1, 1)

    def _fold(
        self,
        place: tuple[Expr, Expr, Expr],
        rows: tuple[Expr, Expr],
        first: Expr,
        table: Buffer,
        entries: Expr,
        height: Expr,
        count: Expr,
    ) -> None:
        """Pixels from `place`; entries: of the table, for each row of taps."""
        n, row, column = place
        y, x, k = self.y, self.x, self.k
        width = _width(k.target)
        taps = (rows[1] - rows[0]) * entries
        top = y.first(row) + rows[0] * y.dilation
        left = x.first(column) + first * x.dilation
        with T.If(tir.all(taps > 0, width <= k.C)):
            with T.Then(), T.serial(0, ceil_div(k.C, width)) as block:
                c = tir.min(block * width, k.C - width)
                call(
                    _micro_kernel(self.k.target),
                    pointer(self.image, [n, top, left, c], "r"),
                    pointer(self.w, [rows[0], first, c], "r"),
                    pointer(self.b, [c], "r"),
                    table.access_ptr("r"),
                    pointer(self.out, [n, row, column, c], "w"),
                    taps,
                    height,
                    count,
                    height,
                    self.pixel * x.stride,
                    self.pixel,
                    self.pixel * x.stride,
                    self.pixel,
                )
            with T.Else(), T.serial(0, count) as i, T.serial(0, k.C) as c:
                self._single(n, row, column + i, c, rows)

    def _single(self, n: Expr, row: Expr, column: Expr, c: Expr, rows: Expr) -> None:
        """One element, where channels are few or taps none."""
        y, x, at = self.y, self.x, [n, row, column, c]
        T.buffer_store(self.out, self.b[c], at)
        first, last = x.taps_inside(column)
        with T.serial(0, rows[1] - rows[0]) as i, T.serial(0, last - first) as j:
            r, s = rows[0] + i, first + j
            source = y.first(row) + r * y.dilation
            value = self.image[n, source, x.first(column) + s * x.dilation, c]
            T.buffer_store(self.out, self.out[tuple(at)] + value * self.w[r, s, c], at)

    def _limit(self, n: Expr, row: Expr) -> None:
        k, out = self.k, self.out
        least, most = (tir.const(sign * INFINITY, "float32") for sign in (-1, 1))
        with (
            T.If(tir.any(k.minimum > least, k.maximum < most)),
            T.Then(),
            T.serial(0, self.columns) as i,
            T.serial(0, k.C) as c,
        ):
            at = [n, row, i, c]
            value = out[tuple(at)]
            value = tir.Select(value < k.minimum, k.minimum, value)
            T.buffer_store(out, tir.Select(k.maximum < value, k.maximum, value), at)
