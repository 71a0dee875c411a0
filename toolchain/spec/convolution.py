"""Windows of a convolution: sizes, valid ranges, and packing them into panels.

An image is [N, C, H, W]; a window has R x S taps, `strides`, `dilations`, and `pads`
as ONNX orders them: top, left, bottom, right. Buffers of rank 4 are read at
[0, 0, 0, i], the i-th of all their elements, where the place is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from toolchain.spec import Attribute, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.panels import Block, Pack, ceil_div, each_group, held, put_lines

STRIDES = Attribute("strides", default=1, minimum=1, per_unit=1, kernel=2)
PADS = Attribute("pads", default=0, minimum=0, per_unit=2, kernel=4)
DILATIONS = Attribute("dilations", default=1, minimum=1, per_unit=1, kernel=2)
# Positions in a padded image are int32, and sums of two of them must be.
MOST = 1 << 30
# Winograd's: pixels on the side of a tile of the result, and of the image under it.
TILE, PATCH = 4, 6
# Elements after a row, of which a vector may read or write up to 7.
SLACK = 8


# How many elements of a padded copy an element of an image or a result may stand for.
# With more the taps are read from the image one by one: pads and dilations that are
# large beside the image cost no time.
SPARSE = 64


def is_sparse(copied: Any, elements: Any) -> Any:
    """Whether a padded copy of so many elements is out of proportion; a condition."""
    return tir.truncdiv(copied, SPARSE) > elements + SPARSE


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

    def taps_inside(self, position: Any) -> tuple[Any, Any]:
        """[first, last): taps of a window that lie in the image."""
        before = -self.first(position)
        low = _ceil_positive(before, self.dilation)
        high = _ceil_positive(self.size + before, self.dilation)
        return tir.min(low, self.taps), tir.min(high, self.taps)

    @property
    def phases(self) -> Any:
        """Residues of a place, modulo the stride, that taps have."""
        return tir.min(self.stride, self.reach + 1)

    @property
    def length(self) -> Any:
        """Places of one residue, from the first window's first tap to the last tap."""
        return self.out() + tir.truncdiv(self.reach, self.stride)

    def place(self, tap: Any) -> Any:
        """Of a tap of the first window, in the axis split by residues."""
        at = tap * self.dilation
        phase = tir.truncmod(at, self.stride)
        return phase * self.length + tir.truncdiv(at, self.stride)

    def positions(self, tap: Any, count: Any) -> tuple[Any, Any]:
        """[low, high): windows of `count` whose tap lies in the image."""
        return self.inside(tap * self.dilation, count)

    def inside(self, offset: Any, count: Any) -> tuple[Any, Any]:
        """[low, high): windows of `count` whose `offset` lies in the image."""
        before = self.begin - offset
        after = self.size + before
        low = _ceil_positive(before, self.stride)
        high = _ceil_positive(after, self.stride)
        return tir.min(low, count), tir.min(high, count)


def _ceil_positive(a: Any, b: Any) -> Any:
    """Smallest integer >= a / b, or 0 where a is negative; a + b may pass int32."""
    return tir.truncdiv(tir.max(a, 1) - 1, b) + tir.min(tir.max(a, 0), 1)


def axes(k: Any, rows: Any, columns: Any) -> tuple[Axis, Axis]:
    """The two spatial axes of a kernel over H x W with windows of rows x columns."""
    y, x = (
        Axis(size, taps, k.strides[i], k.pads[i], k.pads[i + 2], k.dilations[i])
        for i, (size, taps) in enumerate(((k.H, rows), (k.W, columns)))
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


def one_tap(spatial: tuple[Axis, Axis]) -> Any:
    """Whether windows are pixels: 1 x 1, next to each other, without pads."""
    return tir.all(
        *(a.taps == 1 for a in spatial),
        *(a.stride == 1 for a in spatial),
        *(a.padded == a.size for a in spatial),
    )


def workspace(lines: Any, depth: Any, width: int, spread: int = 1) -> Any:
    """Panels of a factor, and one more: what a vector writes past the last."""
    panels, lanes = ceil_div(lines, width) + 1, [spread] * (spread > 1)
    return T.alloc_buffer((panels, tir.max(depth, 1), width, *lanes), "float32")


class Planes:
    """A copy of an image's channels [D, H, W] in which windows lie in a row.

    Padded with zeros, and split by phase: places a stride apart lie side by side, so
    that a tap's value for the next output pixel is the next element.
    """

    def __init__(self, image: Any, channels: Any, y: Axis, x: Axis) -> None:
        self.image, self.channels, self.y, self.x = image, channels, y, x
        self.lines = y.phases * y.length
        self.pitch = x.phases * x.length + SLACK

    def sparse(self) -> Any:
        """Whether the copy of a channel is mostly pads; a condition."""
        y, x = self.y, self.x
        elements = y.size * x.size + y.out() * x.out()
        return is_sparse(self.lines * self.pitch, elements)

    def fits(self) -> tuple[Any, str]:
        """Whether the copy can be had, and reached by int32."""
        plane = self.lines * self.pitch
        return (
            tir.all(plane <= MOST // 2, plane * self.channels <= MOST // 2),
            "the padded image is larger than 2^29 elements; use smaller pads",
        )

    def allocate(self, depth: Any) -> None:
        """Memory for the copy, and where each tap lies in it."""
        y, x = self.y, self.x
        shape = (tir.max(self.channels, 1), self.lines, self.pitch)
        self.buffer = T.alloc_buffer(shape, "float32")
        self.offsets = T.alloc_buffer((tir.max(depth, 1),), "int32")
        self.lines, self.pitch = held(self.lines), held(self.pitch)
        with T.serial(0, depth) as unit:
            row, s = tir.truncdiv(unit, x.taps), tir.truncmod(unit, x.taps)
            channel, r = tir.truncdiv(row, y.taps), tir.truncmod(row, y.taps)
            line = channel * self.lines + y.place(r)
            T.buffer_store(self.offsets, line * self.pitch + x.place(s), [unit])

    def copy(self, start: Any) -> None:
        """Fill the copy from an image at start."""
        y, x = self.y, self.x
        with (
            T.serial(0, self.channels) as c,
            T.serial(0, y.phases) as a,
            T.serial(0, y.length) as i,
            T.serial(0, x.phases) as b,
        ):
            row = held(i * y.stride + a - y.begin)
            within = tir.all(row >= 0, row < y.size)
            length = held(x.length)
            low, high = (
                held(tir.Select(within, limit, length)) for limit in x.inside(b, length)
            )
            line, first = held(a * y.length + i), held(b * length)
            base = start + (c * y.size + row) * x.size + b - x.begin
            self._clear(c, line, first, low)

            def loop(step: Any) -> None:
                with T.serial(0, high - low) as j:
                    value = self.image[0, 0, 0, base + (low + j) * step]
                    T.buffer_store(self.buffer, value, [c, line, first + low + j])

            with T.If(x.stride == 1):
                with T.Then():
                    loop(1)
                with T.Else():
                    loop(x.stride)
            self._clear(c, line, first + high, length - high)

    def _clear(self, channel: Any, line: Any, first: Any, count: Any) -> None:
        with T.serial(0, count) as j:
            zero = tir.const(0, "float32")
            T.buffer_store(self.buffer, zero, [channel, line, first + j])

    def pack(self, block: Block) -> None:
        """Fill a block's panels: line j is output pixel j, unit k (channel, r, s).

        A panel whose pixels lie in several rows takes a vector from each; what one
        writes past its pixels the next one overwrites, or the next unit.
        """
        rows, columns = self.y.out(), self.x.out()
        width = block.width

        def copy(p: Any, k: Any, lane: Any, place: Any) -> None:
            with T.vectorized(0, width) as i:
                value = self.buffer[0, 0, place + self.offsets[block.start + k] + i]
                block.put(value, p, k, lane + i)

        with T.serial(0, block.panel_count()) as p:
            pixel = block.first + p * width
            line, column = tir.truncdiv(pixel, columns), tir.truncmod(pixel, columns)
            parts = tir.min(ceil_div(column + width, columns), rows - line)
            with T.If(parts == 1):
                with T.Then(), T.serial(0, block.depth) as k:
                    copy(p, k, 0, line * self.pitch + column)
                with (
                    T.Else(),
                    T.serial(0, block.depth) as k,
                    T.serial(0, parts) as part,
                ):
                    ahead = part * columns - column
                    lane = tir.max(ahead, 0)
                    copy(p, k, lane, (line + part) * self.pitch + lane - ahead)


class Pixels:
    """An image [H, W, C] whose windows are runs of elements, padded where it must be.

    The taps of a window's row lie side by side, or each on its own where dilated.
    """

    def __init__(self, k: Any, image: Any, y: Axis, x: Axis) -> None:
        self.image, self.channels, self.y, self.x = image, k.C, y, x
        self.none, self.one, channels = k.index(0), k.index(1), k.C
        self.bare = tir.all(y.padded == y.size, x.padded == x.size)
        flat = [c * channels for c in (x.size, x.begin, x.end)]
        along = Axis(flat[0], self.one, self.one, flat[1], flat[2], self.one)
        self.planes = Planes(image, self.one, replace(y, stride=self.one), along)
        self.pitch = tir.Select(self.bare, flat[0], self.planes.pitch)
        # Windows of one pixel lie side by side over the ends of rows.
        plain = one_tap((y, x))
        self.columns = tir.Select(plain, y.out() * x.out(), x.out())
        # Where this is known ahead, the value of a tap for the next pixel is the next
        # element, and runs are too short to be worth a call each.
        self.single = _is(k.C, 1) and _is(x.stride, 1)
        self.row = x.taps * channels
        self.run = tir.Select(x.dilation == 1, self.row, channels)

    def sparse(self) -> Any:
        """Whether the copy, where there is one, is mostly pads; a condition."""
        pixels = self.y.size * self.x.size + self.y.out() * self.x.out()
        copied = self.planes.lines * self.planes.pitch
        much = is_sparse(copied, pixels * self.channels)
        return tir.all(tir.Not(self.bare), much)

    def fits(self) -> tuple[Any, str]:
        """Whether the copy, where there is one, can be had."""
        fits, text = self.planes.fits()
        return tir.any(self.bare, fits), text

    def allocate(self) -> None:
        """Memory for the padded copy."""
        shape = (tir.Select(self.bare, self.one, self.planes.lines), self.planes.pitch)
        self.planes.buffer = T.alloc_buffer((1, *shape), "float32")

    def copy(self, start: Any) -> None:
        """Read the image at start, from a copy where it has pads."""
        self.start = start
        with T.If(tir.Not(self.bare)), T.Then():
            self.planes.copy(start)

    def _places(self, block: Block, pixel: Any, lines: int) -> tuple[Any, list[Any]]:
        """Where a window begins, and from there the next ones; the last once more."""
        line, column = (
            held(of(pixel, self.columns)) for of in (tir.truncdiv, tir.truncmod)
        )
        down = self.y.stride * self.pitch
        along = self.x.stride * self.channels
        places = [self.none]
        start = line * down + column * along
        turn = held(down - (self.columns - 1) * along)
        for i in range(1, lines):
            ends = column + 1 == self.columns
            step = tir.Select(ends, turn, along)
            step = tir.Select(pixel + i < block.size, step, self.none)
            places.append(held(places[-1] + step))
            column = held(tir.Select(ends, self.none, column + 1))
        return held(start), places[1:]

    def packer(self, target: Any) -> Pack:
        """Pack output pixels as lines, of units (tap row, tap column, channel).

        All of them, or a part of a row of taps that is not dilated.
        """

        def pack(block: Block) -> None:
            def some(p: Any, first: Any, lines: int) -> None:
                pixel = tir.min(block.first + p * block.width + first, block.size - 1)
                pixel = held(pixel)
                if not self.single:
                    self._pack_runs(block, p, first, lines, pixel)
                    return
                # The last pixel, so that there are no others of that row or image.
                last = tir.truncmod(pixel, self.columns) + lines <= self.columns
                whole = tir.all(last, pixel + lines <= block.size)
                with T.If(whole):
                    with T.Then():
                        self._pack_taps(block, p, first, lines, pixel)
                    with T.Else():
                        self._pack_runs(block, p, first, lines, pixel)

            each_group(block, target, some)

        return pack

    def _pack_runs(
        self, block: Block, p: Any, first: Any, lines: int, pixel: Any
    ) -> None:
        """Lines that may lie anywhere, run by run."""
        start, places = self._places(block, pixel, lines)
        flat = self.x.dilation == 1
        down, along = self.y.dilation * self.pitch, self.x.dilation * self.channels
        # Rows of a window are runs; where it is dilated, its taps.
        row = tir.max(self.row, self.one)
        start += tir.truncdiv(block.start, row) * down + tir.truncmod(block.start, row)
        run = tir.min(self.run, block.depth)
        whole = tir.truncdiv(block.depth, row)
        rows = tir.Select(flat, self.one, whole)
        count = tir.Select(flat, tir.max(whole, self.one), self.x.taps)
        jump = tir.Select(flat, down, along)
        with T.serial(0, rows) as r:

            def put(buffer: Any, offset: Any) -> None:
                source = buffer.access_ptr("r", offset=offset + start + r * down)
                unit = r * self.x.taps * self.run
                put_lines(block, p, unit, first, source, places, (run, count, jump))

            # TVM has no conditional pointers.
            with T.If(self.bare):
                with T.Then():
                    put(self.image, self.start)
                with T.Else():
                    put(self.planes.buffer, 0)

    def _pack_taps(
        self, block: Block, p: Any, first: Any, lines: int, pixel: Any
    ) -> None:
        """One channel: tap by tap the elements of neighbouring pixels."""
        lanes = T.vectorized if block.spread == 1 else T.serial
        at, _ = self._places(block, pixel, 1)
        with (
            T.serial(0, self.y.taps) as r,
            T.serial(0, self.x.taps) as s,
            lanes(0, lines) as i,
        ):
            place = r * self.y.dilation * self.pitch + s * self.x.dilation
            value = self._element(at + place + i)
            block.put(value, p, r * self.x.taps + s, first + i)

    def _element(self, place: Any) -> Any:
        return tir.if_then_else(
            self.bare,
            self.image[0, 0, 0, self.start + place],
            self.planes.buffer[0, 0, place],
        )


def _is(size: Any, value: int) -> bool:
    """Whether a size is known, and this."""
    return isinstance(size, int | tir.IntImm) and int(size) == value


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
        row = held(y.first(line) + r * y.dilation)
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
