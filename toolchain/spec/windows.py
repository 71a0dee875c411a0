"""Sliding windows over the planes of x[N, C, H, W], as pooling has them.

A window of R x S taps, dilations apart, starts every strides; pads (top, left,
bottom, right) surround a plane. Extents follow ONNX, ceil_mode included: a last
window that would begin beyond the plane and its leading padding is left out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from toolchain.spec import Attribute, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.convolution import Axis
from toolchain.spec.panels import call, ceil_div, nest, pointer
from toolchain.spec.rows import maximum

Expr = Any
Finish = Callable[[], Callable[[Any, list[Any]], None]]
VECTORS = 4  # of a tile
# Bounds the arithmetic of sizes; a plane has fewer than 2^31 bytes anyway.
LARGEST = 1 << 20

KERNEL_SHAPE = Attribute(
    "kernel_shape", minimum=1, maximum=LARGEST, per_unit=1, kernel=2
)
STRIDES = Attribute(
    "strides", default=1, minimum=1, maximum=LARGEST, per_unit=1, kernel=2
)
PADS = Attribute("pads", default=0, minimum=0, maximum=LARGEST, per_unit=2, kernel=4)
DILATIONS = Attribute(
    "dilations", default=1, minimum=1, maximum=LARGEST, per_unit=1, kernel=2
)
CEIL_MODE = Attribute("ceil_mode", default=0, minimum=0, maximum=1)


def window(k: Any, axis: int) -> Expr:
    """Taps of a window along an axis; 1 for the rows that [N, C, W] does not have."""
    return tir.max(k.kernel_shape[axis], k.index(1))


def extent(k: Any, axis: int) -> Expr:
    """How many windows lie along a spatial axis (0: rows, 1: columns)."""
    size = (k.H, k.W)[axis]
    before, after = k.pads[axis], k.pads[axis + 2]
    span = k.dilations[axis] * (window(k, axis) - 1) + 1
    room, step = size + before + after - span, k.strides[axis]
    up = tir.Select(k.ceil_mode != 0, step - 1, k.index(0))
    # Not floordiv: nothing is negative here, and TVM takes seconds to prove that.
    rounded = tir.truncdiv(room + up, step) + 1
    late = tir.all(k.ceil_mode != 0, (rounded - 1) * step >= size + before)
    return rounded - tir.Select(late, k.index(1), k.index(0))


def padded_extent(k: Any, axis: int) -> Expr:
    """Elements of the padded plane along an axis: up to the last window's last tap."""
    reach = k.dilations[axis] * (window(k, axis) - 1) + 1
    return (extent(k, axis) - 1) * k.strides[axis] + reach


def requires(k: Any) -> list[tuple[Expr, str]]:
    """What sizes and attributes must fulfil."""
    missing = "kernel_shape is missing; give one for each spatial axis"
    found = [(k.kernel_shape[1] >= 1, missing)]
    for axis, name in enumerate(("rows", "columns")):
        reach = k.dilations[axis] * (window(k, axis) - 1) + 1
        size = (k.H, k.W)[axis] + k.pads[axis] + k.pads[axis + 2]
        found.append(
            (reach <= size, f"the window has more {name} than x with its pads")
        )
        inside = tir.all(k.pads[axis] < reach, k.pads[axis + 2] < reach)
        found.append((inside, f"pads must be smaller than the window, in {name}"))
    plane = padded_extent(k, 0) * padded_extent(k, 1)
    return [
        *found,
        (plane < 1 << 28, "a padded plane must have fewer than 2^28 elements"),
    ]


class Fold:
    """Planes whose windows are folded, rows first: a fold of rows, then of columns.

    kind: max or sum. fill: what pads hold. A row of folded
    rows is kept with its pads and its columns split by phase: line[p, i] is column
    i * stride + p, so that a tap of neighbouring windows is contiguous.
    """

    def __init__(self, k: Any, kind: str, fill: Any) -> None:
        self.k, self.fill = k, fill
        self.both = maximum if kind == "max" else operator.add
        self.y, self.x = tuple(
            Axis(
                size,
                window(k, i),
                k.strides[i],
                k.pads[i],
                k.pads[i + 2],
                k.dilations[i],
            )
            for i, size in enumerate((k.H, k.W))
        )
        x = self.x
        self.bytes = 4 if k.dtype == "float32" else 1
        self.lanes = 16 // self.bytes if k.target.has("simd128") else 1
        element = {"float32": "f32", "int8": "i8", "uint8": "u8"}[k.dtype]
        self.micro_kernel = f"micro_fold_{kind}_{element}_{VECTORS}x{self.lanes}"
        self.split = f"micro_split_{'f32' if element == 'f32' else 'i8'}_2"
        self.columns = extent(k, 1)
        phases = tir.min(x.stride, x.reach + 2)
        longest = tir.max(padded_extent(k, 1), x.size + x.begin)
        pitch = ceil_div(longest, x.stride) + self.lanes
        self.line = T.alloc_buffer((phases, pitch), k.dtype)
        self.row = T.alloc_buffer((x.size,), k.dtype)
        self.edge = T.alloc_buffer((self.lanes,), k.dtype)
        self.rows, self.taps = (
            T.alloc_buffer((a.taps, 2), "int32") for a in (self.y, self.x)
        )

    def emit(self, image: Any, out: Any, finish: Finish | None) -> None:
        """Row by row of each plane; then the function that finish() has given."""
        each = finish() if finish else None
        y, x = self.y, self.x
        with T.serial(0, y.taps) as r:
            place = r * y.dilation * x.size * self.bytes
            T.buffer_store(self.rows, place, [r, 0])
        with T.serial(0, x.taps) as s:
            phase, i = self._place(s * x.dilation)
            place = (phase * self.line.shape[1] + i) * self.bytes
            T.buffer_store(self.taps, place, [s, 0])
        self._clear()
        with (
            T.serial(0, self.k.N) as n,
            T.serial(0, self.k.C) as c,
            T.serial(0, extent(self.k, 0)) as line,
        ):
            self._fold_rows(image, n, c, line)
            self._fold_columns(out, [n, c, line])
            if each is not None:
                each(out, [n, c, line])

    def _place(self, column: Any) -> list[Any]:
        """Where a column of the padded row stands in the line."""
        stride = self.x.stride
        return [tir.truncmod(column, stride), tir.truncdiv(column, stride)]

    def _clear(self) -> None:
        phases, pitch = self.line.shape
        with T.serial(0, phases) as p, T.serial(0, pitch) as i:
            T.buffer_store(self.line, self.fill, [p, i])

    def _fold_rows(self, image: Any, n: Any, c: Any, line: Any) -> None:
        """The rows of taps that lie in the image, into the line."""
        y, x = self.y, self.x
        first, last = y.taps_inside(line)
        start = [n, c, y.first(line) + first * y.dilation, 0]

        def fold(out: Any) -> None:
            source = pointer(image, start, "r")
            self._call(source, self.rows, out, last - first, x.size)

        def single(column: Any) -> Any:
            """Rows narrower than a vector, which may end where memory ends."""
            T.buffer_store(self.row, self.fill, [column])
            with T.serial(0, last - first) as r:
                value = image[n, c, start[2] + r * y.dilation, column]
                both = self.both(self.row[column], value)
                T.buffer_store(self.row, both, [column])

        with T.If(first >= last):
            with T.Then():
                self._clear()
            with T.Else(), T.If(tir.all(x.stride == 1, x.size >= self.lanes)):
                with T.Then():
                    fold(pointer(self.line, [0, x.begin], "w"))
                with T.Else():
                    with T.If(x.size >= self.lanes):
                        with T.Then():
                            fold(self.row.access_ptr("w"))
                        with T.Else(), T.serial(0, x.size) as column:
                            single(column)
                    self._split()

    def _split(self) -> None:
        """The folded row, column by column, to where its phases stand."""
        x = self.x
        with T.If(x.stride == 2):
            with T.Then():
                even, odd = (
                    pointer(self.line, self._place(x.begin + i), "w") for i in range(2)
                )
                call(self.split, self.row.access_ptr("r"), even, odd, x.size)
            with T.Else(), T.serial(0, x.size) as column:
                place = self._place(x.begin + column)
                with T.If(place[0] < self.line.shape[0]), T.Then():
                    T.buffer_store(self.line, self.row[column], place)

    def _fold_columns(self, out: Any, at: list[Any]) -> None:
        columns, taps = self.columns, self.x.taps
        source = self.line.access_ptr("r")
        with T.If(columns >= self.lanes):
            with T.Then():
                target = pointer(out, [*at, 0], "w")
                self._call(source, self.taps, target, taps, columns)
            with T.Else():
                target = self.edge.access_ptr("w")
                self._call(source, self.taps, target, taps, self.lanes)
                with T.serial(0, columns) as i:
                    T.buffer_store(out, self.edge[i], [*at, i])

    def _call(self, source: Any, table: Any, out: Any, taps: Any, count: Any) -> None:
        """Fold `count` neighbours, at least a vector, up to VECTORS at a time."""
        vectors = tir.min(tir.truncdiv(count, self.lanes), VECTORS)
        step = self.lanes * self.bytes
        call(
            self.micro_kernel,
            *(source, source, source, table.access_ptr("r"), out),
            *(taps, vectors, count, vectors * self.lanes),
            *(step, step, self.bytes, self.bytes, 0),
        )


def fold(k: Any, kind: str, fill: Any, finish: Finish | None = None) -> Any:
    """Tensor [N, C, rows, columns]: each window of x folded by `kind`."""

    def emit(ins: Any, out: Any) -> None:
        Fold(k, kind, fill).emit(ins[0], out, finish)

    return nest((k.N, k.C, extent(k, 0), extent(k, 1)), [k.x], emit, k.dtype)


def taps_inside(k: Any, axis: int, position: Expr, low: Expr, high: Expr) -> Expr:
    """How many taps of a window lie in [low, high) of an axis."""
    start = position * k.strides[axis] - k.pads[axis]
    gap, taps = k.dilations[axis], window(k, axis)

    def before(limit: Expr) -> Expr:
        passed = tir.truncdiv(tir.max(limit - start, 0) + gap - 1, gap)
        return tir.min(passed, taps)

    return before(high) - before(low)
