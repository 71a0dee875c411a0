"""Images of a convolution, as what their windows are packed from.

Buffers of rank 4 are read at [0, 0, 0, i], the i-th of all their elements, where the
place is computed.
"""

from __future__ import annotations

from dataclasses import replace

from toolchain.spec import Buffer, Expr, Kernel
from toolchain.spec.convolution import MOST, Axis, is_sparse, one_tap
from toolchain.spec.nest import ceil_div, materialized
from toolchain.spec.panels import Block, Pack, each_group, put_rows
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.tvm import tir

# Elements after a row, of which a vector may read or write up to 7.
SLACK = 8


def workspace(count: Expr, depth: Expr, width: int, broadcast: int = 1) -> Buffer:
    """Panels of a factor, and one more: what a vector writes past the last."""
    panels, lanes = ceil_div(count, width) + 1, [broadcast] * (broadcast > 1)
    return T.alloc_buffer((panels, tir.max(depth, 1), width, *lanes), "float32")


class Planes:
    """A copy of an image's channels [D, H, W] in which windows lie in a row.

    Padded with zeros, and split by phase: places a stride apart lie side by side, so
    that a tap's value for the next output pixel is the next element.
    """

    def __init__(
        self, k: Kernel, image: Buffer, channels: Expr, y: Axis, x: Axis
    ) -> None:
        self.target, self.image, self.channels = k.target, image, channels
        self.y, self.x = y, x
        self.rows = y.phases * y.length
        self.pitch = x.phases * x.length + SLACK

    def sparse(self) -> Expr:
        """Whether the copy of a channel is mostly pads; a condition."""
        y, x = self.y, self.x
        elements = y.size * x.size + y.out() * x.out()
        return is_sparse(self.target, self.rows * self.pitch, elements)

    def fits(self) -> tuple[Expr, str]:
        """Whether the copy can be had, and reached by int32."""
        plane = self.rows * self.pitch
        return (
            tir.all(plane <= MOST // 2, plane * self.channels <= MOST // 2),
            "the padded image is larger than 2^29 elements; use smaller pads",
        )

    def allocate(self, depth: Expr) -> None:
        """Memory for the copy, and where each tap lies in it."""
        y, x = self.y, self.x
        shape = (tir.max(self.channels, 1), self.rows, self.pitch)
        self.buffer = T.alloc_buffer(shape, "float32")
        self.offsets = T.alloc_buffer((tir.max(depth, 1),), "int32")
        self.rows, self.pitch = materialized(self.rows), materialized(self.pitch)
        with T.serial(0, depth) as k:
            taps, s = tir.truncdiv(k, x.taps), tir.truncmod(k, x.taps)
            channel, r = tir.truncdiv(taps, y.taps), tir.truncmod(taps, y.taps)
            row = channel * self.rows + y.place(r)
            T.buffer_store(self.offsets, row * self.pitch + x.place(s), [k])

    def copy(self, start: Expr) -> None:
        """Fill the copy from an image at start."""
        y, x = self.y, self.x
        with (
            T.serial(0, self.channels) as c,
            T.serial(0, y.phases) as a,
            T.serial(0, y.length) as i,
            T.serial(0, x.phases) as b,
        ):
            source = materialized(i * y.stride + a - y.begin)
            within = tir.all(source >= 0, source < y.size)
            length = materialized(x.length)
            low, high = (
                materialized(tir.Select(within, limit, length))
                for limit in x.inside(b, length)
            )
            row, first = materialized(a * y.length + i), materialized(b * length)
            base = start + (c * y.size + source) * x.size + b - x.begin
            self._clear(c, row, first, low)

            def loop(step: Expr) -> None:
                with T.serial(0, high - low) as j:
                    value = self.image[0, 0, 0, base + (low + j) * step]
                    T.buffer_store(self.buffer, value, [c, row, first + low + j])

            with T.If(x.stride == 1):
                with T.Then():
                    loop(1)
                with T.Else():
                    loop(x.stride)
            self._clear(c, row, first + high, length - high)

    def _clear(self, channel: Expr, row: Expr, first: Expr, count: Expr) -> None:
        with T.serial(0, count) as j:
            zero = tir.const(0, "float32")
            T.buffer_store(self.buffer, zero, [channel, row, first + j])

    def pack(self, block: Block) -> None:
        """Fill a block's panels: column j is output pixel j, k is (channel, r, s).

        A panel whose pixels lie in several rows takes a vector from each row. What a
        vector writes past its pixels is overwritten by the next vector, or by the next
        element of K.
        """
        rows, columns = self.y.out(), self.x.out()
        width = block.width

        def copy(p: Expr, k: Kernel, lane: Expr, place: Expr) -> None:
            with T.vectorized(0, width) as i:
                value = self.buffer[0, 0, place + self.offsets[block.start + k] + i]
                block.put(value, p, k, lane + i)

        with T.serial(0, block.panel_count()) as p:
            pixel = block.first + p * width
            row, column = tir.truncdiv(pixel, columns), tir.truncmod(pixel, columns)
            parts = tir.min(ceil_div(column + width, columns), rows - row)
            with T.If(parts == 1):
                with T.Then(), T.serial(0, block.depth) as k:
                    copy(p, k, 0, row * self.pitch + column)
                with (
                    T.Else(),
                    T.serial(0, block.depth) as k,
                    T.serial(0, parts) as part,
                ):
                    ahead = part * columns - column
                    lane = tir.max(ahead, 0)
                    copy(p, k, lane, (row + part) * self.pitch + lane - ahead)


class Pixels:
    """An image [H, W, C] whose windows are runs of elements, of a copy if it has pads.

    The taps of a window's row lie side by side, unless dilations put them apart.
    """

    def __init__(self, k: Kernel, image: Buffer, y: Axis, x: Axis) -> None:
        self.target, self.image, self.channels = k.target, image, k.C
        self.y, self.x = y, x
        self.none, self.one, channels = k.index(0), k.index(1), k.C
        self.bare = tir.all(y.padded == y.size, x.padded == x.size)
        flat = [c * channels for c in (x.size, x.begin, x.end)]
        along = Axis(flat[0], self.one, self.one, flat[1], flat[2], self.one)
        self.planes = Planes(k, image, self.one, replace(y, stride=self.one), along)
        self.pitch = tir.Select(self.bare, flat[0], self.planes.pitch)
        # Windows of one pixel lie side by side over the ends of rows.
        plain = one_tap((y, x))
        self.columns = tir.Select(plain, y.out() * x.out(), x.out())
        # One channel and stride 1, known ahead: a tap's value for the next pixel is the
        # next element, and runs are too short to be worth a call each.
        self.single = _is(k.C, 1) and _is(x.stride, 1)
        self.row = x.taps * channels
        self.run = tir.Select(x.dilation == 1, self.row, channels)

    def sparse(self) -> Expr:
        """Whether the padded copy, if one is needed, is mostly pads; a condition."""
        pixels = self.y.size * self.x.size + self.y.out() * self.x.out()
        copied = self.planes.rows * self.planes.pitch
        much = is_sparse(self.target, copied, pixels * self.channels)
        return tir.all(tir.Not(self.bare), much)

    def fits(self) -> tuple[Expr, str]:
        """Whether the padded copy, if one is needed, can be had."""
        fits, text = self.planes.fits()
        return tir.any(self.bare, fits), text

    def allocate(self) -> None:
        """Memory for the padded copy."""
        shape = (tir.Select(self.bare, self.one, self.planes.rows), self.planes.pitch)
        self.planes.buffer = T.alloc_buffer((1, *shape), "float32")

    def copy(self, start: Expr) -> None:
        """Read the image at start, from a copy if it has pads."""
        self.start = start
        with T.If(tir.Not(self.bare)), T.Then():
            self.planes.copy(start)

    def _places(
        self, block: Block, pixel: Expr, pixels: int
    ) -> tuple[Expr, list[Expr]]:
        """Where a window begins, and the others from there; past the last the last."""
        row, column = (
            materialized(of(pixel, self.columns)) for of in (tir.truncdiv, tir.truncmod)
        )
        down = self.y.stride * self.pitch
        along = self.x.stride * self.channels
        places = [self.none]
        start = row * down + column * along
        return_step = materialized(down - (self.columns - 1) * along)
        for i in range(1, pixels):
            ends = column + 1 == self.columns
            step = tir.Select(ends, return_step, along)
            step = tir.Select(pixel + i < block.size, step, self.none)
            places.append(materialized(places[-1] + step))
            column = materialized(tir.Select(ends, self.none, column + 1))
        return materialized(start), places[1:]

    def packer(self) -> Pack:
        """Pack output pixels as rows over K = (tap row, tap column, channel).

        All of K, or a part of a row of taps that is not dilated.
        """

        def pack(block: Block) -> None:
            def some(p: Expr, first: Expr, pixels: int) -> None:
                pixel = tir.min(block.first + p * block.width + first, block.size - 1)
                pixel = materialized(pixel)
                if not self.single:
                    self._pack_runs(block, p, first, pixels, pixel)
                    return
                # All pixels in a row of the result, and in the image.
                last = tir.truncmod(pixel, self.columns) + pixels <= self.columns
                whole = tir.all(last, pixel + pixels <= block.size)
                with T.If(whole):
                    with T.Then():
                        self._pack_taps(block, p, first, pixels, pixel)
                    with T.Else():
                        self._pack_runs(block, p, first, pixels, pixel)

            each_group(block, self.target, some)

        return pack

    def _pack_runs(
        self, block: Block, p: Expr, first: Expr, pixels: int, pixel: Expr
    ) -> None:
        """Windows that may lie anywhere, run by run of elements."""
        start, places = self._places(block, pixel, pixels)
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

            def put(buffer: Expr, offset: Expr) -> None:
                source = buffer.access_ptr("r", offset=offset + start + r * down)
                k = r * self.x.taps * self.run
                put_rows(block, p, k, first, source, places, (run, count, jump))

            # TVM has no conditional pointers.
            with T.If(self.bare):
                with T.Then():
                    put(self.image, self.start)
                with T.Else():
                    put(self.planes.buffer, 0)

    def _pack_taps(
        self, block: Block, p: Expr, first: Expr, pixels: int, pixel: Expr
    ) -> None:
        """A single channel: tap by tap the elements of neighbouring pixels."""
        lanes = T.vectorized if block.broadcast == 1 else T.serial
        at, _ = self._places(block, pixel, 1)
        with (
            T.serial(0, self.y.taps) as r,
            T.serial(0, self.x.taps) as s,
            lanes(0, pixels) as i,
        ):
            place = r * self.y.dilation * self.pitch + s * self.x.dilation
            value = self._element(at + place + i)
            block.put(value, p, r * self.x.taps + s, first + i)

    def _element(self, place: Expr) -> Expr:
        return tir.if_then_else(
            self.bare,
            self.image[0, 0, 0, self.start + place],
            self.planes.buffer[0, 0, place],
        )


def _is(size: Expr, value: int) -> bool:
    """Whether a size is known, and this."""
    return isinstance(size, int | tir.IntImm) and int(size) == value
