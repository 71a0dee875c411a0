"""Windows of a convolution: sizes, valid ranges, and packing them into panels.

An image is [N, C, H, W]; a window has R x S taps, `strides`, `dilations`, and `pads`
as ONNX orders them: top, left, bottom, right. Buffers of rank 4 are read at
[0, 0, 0, i], the i-th of all their elements, where the place is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolchain.spec import Attribute, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.panels import DEPTH, Block

STRIDES = Attribute("strides", default=1, minimum=1, per_unit=1, kernel=2)
PADS = Attribute("pads", default=0, minimum=0, per_unit=2, kernel=4)
DILATIONS = Attribute("dilations", default=1, minimum=1, per_unit=1, kernel=2)
# Positions in a padded image are int32, and sums of two of them must be.
MOST = 1 << 30


@dataclass(frozen=True)
class Axis:
    """One spatial axis. size: of the image; taps: of the window; begin, end: pads.

    What is int32 in the kernel stays below 2^31 by `requirements`.
    """

    size: Any
    taps: Any
    stride: Any
    begin: Any
    end: Any
    dilation: Any

    @property
    def reach(self) -> Any:
        """Elements from the first tap to the last."""
        return self.dilation * (self.taps - 1)

    @property
    def padded(self) -> Any:
        """Size with pads."""
        return self.size + self.begin + self.end

    def out(self) -> Any:
        """Windows along the axis."""
        return tir.truncdiv(self.padded - self.reach - 1, self.stride) + 1

    def first(self, position: Any) -> Any:
        """Place in the image of the first tap of a window."""
        return position * self.stride - self.begin

    def inside(self, position: Any) -> tuple[Any, Any]:
        """[first, last): taps of a window that lie in the image."""
        before = -self.first(position)
        low = _ceil_positive(before, self.dilation)
        high = _ceil_positive(self.size + before, self.dilation)
        return tir.min(low, self.taps), tir.min(high, self.taps)

    def positions(self, tap: Any, count: Any) -> tuple[Any, Any]:
        """[low, high): windows of `count` whose tap lies in the image."""
        before = self.begin - tap * self.dilation
        after = self.size + before
        low = _ceil_positive(before, self.stride)
        high = _ceil_positive(after, self.stride)
        return tir.min(low, count), tir.min(high, count)


def _ceil_positive(a: Any, b: Any) -> Any:
    """Smallest integer >= a / b, or 0 where a is negative; a + b may pass int32."""
    return tir.truncdiv(tir.max(a, 1) - 1, b) + tir.min(tir.max(a, 0), 1)


def axes(k: Any) -> tuple[Axis, Axis]:
    """The two spatial axes of a kernel with x [N, C, H, W] and w [M, D, R, S]."""
    y, x = (
        Axis(size, taps, k.strides[i], k.pads[i], k.pads[i + 2], k.dilations[i])
        for i, (size, taps) in enumerate(((k.H, k.R), (k.W, k.S)))
    )
    return y, x


def requirements(spatial: tuple[Axis, Axis]) -> list[tuple[Any, str]]:
    """What must hold for a result to exist and be reached by int32."""
    return [
        (
            tir.all(*(a.taps >= 1 for a in spatial)),
            "the kernel has size 0; give it one tap or more",
        ),
        (
            tir.all(*(a.reach < a.padded for a in spatial)),
            "the kernel, with dilations, is larger than the padded image; "
            "use more pads or a smaller kernel",
        ),
        (
            tir.all(*(a.padded <= MOST for a in spatial)),
            "an axis with pads is longer than 2^30; use smaller pads",
        ),
    ]


@dataclass(frozen=True)
class Windows:
    """Packs windows: line j is output pixel j, unit k is (channel, tap row, column).

    start: where the first channel starts in the image. offsets, down, across: of
    each unit of a block in the image, in its window's rows and columns.
    """

    image: Any
    start: Any
    y: Axis
    x: Axis
    columns: Any
    offsets: Any
    down: Any
    across: Any

    @staticmethod
    def over(image: Any, start: Any, spatial: tuple[Axis, Axis]) -> Windows:
        """Windows with tables of their own."""
        tables = [T.alloc_buffer((DEPTH,), "int32") for _ in range(3)]
        return Windows(image, start, *spatial, spatial[1].out(), *tables)

    def pack(self, block: Block) -> None:
        """Fill a block's panels, the last pixel standing in for those past it."""
        y, x = self.y, self.x
        self._tables(block)
        with T.serial(0, block.panel_count()) as p:
            pixel = block.first + p * block.width
            last = tir.min(pixel + block.width, block.size) - 1
            line, column = self._split(pixel)
            row = y.first(line)
            alike = column + block.width <= self.columns
            high = tir.Select(alike, column + block.width, self.columns) - 1
            inside = tir.all(
                row >= 0,
                y.first(self._split(last)[0]) + y.reach < y.size,
                tir.Select(alike, x.first(column) >= 0, x.begin == 0),
                x.first(high) + x.reach < x.size,
            )
            one_row = tir.all(alike, x.stride == 1)
            with T.If(one_row):
                with T.Then():
                    self._pack_row(block, p, row, x.first(column))
                with T.Else():
                    self._pack_scattered(block, p, pixel, inside)

    def _split(self, pixel: Any) -> tuple[Any, Any]:
        return tir.truncdiv(pixel, self.columns), tir.truncmod(pixel, self.columns)

    def _tables(self, block: Block) -> None:
        y, x = self.y, self.x
        with T.serial(0, block.depth) as k:
            unit = block.start + k
            row, column = tir.truncdiv(unit, x.taps), tir.truncmod(unit, x.taps)
            channel, row = tir.truncdiv(row, y.taps), tir.truncmod(row, y.taps)
            dy, dx = row * y.dilation, column * x.dilation
            T.buffer_store(self.down, dy, [k])
            T.buffer_store(self.across, dx, [k])
            offset = (channel * y.size + dy) * x.size + dx
            T.buffer_store(self.offsets, offset, [k])

    def _pack_row(self, block: Block, p: Any, row: Any, column: Any) -> None:
        """Pixels of one row with stride 1: their taps lie side by side."""
        y, x = self.y, self.x
        base = self.start + row * x.size + column
        with T.serial(0, block.depth) as k:
            from_column = column + self.across[k]
            inside = tir.all(row + self.down[k] >= 0, row + self.down[k] < y.size)
            full = tir.all(
                inside, from_column >= 0, from_column + block.width <= x.size
            )
            offset = base + self.offsets[k]
            with T.If(full):
                with T.Then(), T.vectorized(0, block.width) as i:
                    self._put(block, p, k, i, offset + i)
                with T.Else(), T.serial(0, block.width) as i:
                    at = from_column + i
                    within = tir.all(inside, at >= 0, at < x.size)
                    self._put(block, p, k, i, offset + i, within)

    def _pack_scattered(self, block: Block, p: Any, pixel: Any, inside: Any) -> None:
        """Pixels of several rows, or with strides: one by one."""
        y, x = self.y, self.x
        with T.serial(0, block.width) as i:
            line, position = self._split(tir.min(pixel + i, block.size - 1))
            row, column = y.first(line), x.first(position)
            base = self.start + row * x.size + column
            with T.If(inside):
                with T.Then(), T.serial(0, block.depth) as k:
                    self._put(block, p, k, i, base + self.offsets[k])
                with T.Else(), T.serial(0, block.depth) as k:
                    a, b = row + self.down[k], column + self.across[k]
                    within = tir.all(a >= 0, a < y.size, b >= 0, b < x.size)
                    self._put(block, p, k, i, base + self.offsets[k], within)

    def _put(
        self, block: Block, p: Any, k: Any, i: Any, offset: Any, within: Any = None
    ) -> None:
        value = self.image[0, 0, 0, offset]
        if within is not None:
            zero = tir.const(0, "float32")
            value = tir.if_then_else(within, value, zero)
        block.put(value, p, k, i)


def each_tap(
    spatial: tuple[Axis, Axis],
    line: Any,
    columns: Any,
    body: Callable[[Any, Any, Any, Any, Any], None],
) -> None:
    """For an output row: body(x, row, r, s, column) wherever a tap is in the image.

    x: position in the output row; row, column: place in the image. The innermost
    loop is over x, apart for strides 1 and 2, so that LLVM vectorises it.
    """
    y, x = spatial
    with T.serial(0, y.taps) as r:
        row = y.first(line) + r * y.dilation
        with (
            T.If(tir.all(row >= 0, row < y.size)),
            T.Then(),
            T.serial(0, x.taps) as s,
        ):
            low, high = x.positions(s, columns)
            shift = s * x.dilation - x.begin

            def loop(step: Any) -> None:
                with T.serial(0, high - low) as i:
                    body(low + i, row, r, s, (low + i) * step + shift)

            _by_stride(x.stride, loop)


def _by_stride(stride: Any, loop: Callable[[Any], None]) -> None:
    with T.If(stride == 1):
        with T.Then():
            loop(1)
        with T.Else(), T.If(stride == 2):
            with T.Then():
                loop(2)
            with T.Else():
                loop(stride)
