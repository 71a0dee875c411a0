"""Sliding windows over the planes of x[N, C, H, W], as pooling has them.

A window of R x S taps, dilations apart, starts every strides; pads (top, left,
bottom, right) surround a plane. Extents follow ONNX, ceil_mode included: a last
window that would begin beyond the plane and its leading padding is left out.
"""

from __future__ import annotations

from collections.abc import Callable

from toolchain.abi import Windows
from toolchain.dtypes import DTYPES
from toolchain.layout import WINDOW_AXIS
from toolchain.spec import Attribute, Buffer, Expr, Kernel, Tensor, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.convolution import Axis, Spatial
from toolchain.spec.nest import call, materialized, nest, pointer
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

Finish = Callable[[], Callable[[Buffer, list[Expr]], None]]
SLACK = 32  # bytes that the micro-kernel may read past the line's end
# The table that toolchain/micro/pool.py reads: these words, in pairs, then a
# pair for each row of windows.
TABLE = (
    *("rows", "columns", "width", "taps"),
    *("down", "across", "stride", "begin", "blank", "blank"),
)
HEAD = len(TABLE) // 2
HALVED = 3  # taps along each axis of what micro.HALVE takes
# Kinds of runtime_stub/windows.h.
FOLDS = {
    ("max", "f32"): Windows.MAX,
    ("sum", "f32"): Windows.SUM,
    ("max", "i8"): Windows.MAX_INT8,
    ("max", "u8"): Windows.MAX_UINT8,
}
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


def window(k: Kernel, axis: int) -> Expr:
    """Taps of a window along an axis; 1 for the rows that [N, C, W] does not have."""
    return tir.max(k.kernel_shape[axis], k.index(1))


def extent(k: Kernel, axis: int) -> Expr:
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


def padded_extent(k: Kernel, axis: int) -> Expr:
    """Elements of the padded plane along an axis: up to the last window's last tap."""
    reach = k.dilations[axis] * (window(k, axis) - 1) + 1
    return (extent(k, axis) - 1) * k.strides[axis] + reach


def requires(k: Kernel) -> list[tuple[Expr, str]]:
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


def fold(k: Kernel, kind: str, fill: Expr, finish: Finish | None = None) -> Tensor:
    """Tensor [N, C, rows, columns]: each window of x folded by `kind`, max or sum.

    fill: what pads hold. finish() gives a function that is called on each row.
    """
    planes = _Planes(k, kind)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        planes.emit(ins[0], out, fill, finish)

    return nest((k.N, k.C, planes.rows, planes.columns), [k.x], emit, k.dtype)


class _Planes:
    """The windows of x, plane by plane.

    The micro-kernel goes tap by tap. Windows for which that is out of proportion to the
    plane and the result are the runtime's (runtime_stub/windows.c): it is asked unless
    they are `small`.
    """

    def __init__(self, k: Kernel, kind: str) -> None:
        self.k, self.kind = k, kind
        self.element = DTYPES[k.dtype].element
        self.size = 4 if k.dtype == "float32" else 1  # bytes
        self.y, self.x = y, x = self._axis(0), self._axis(1)
        self.rows, self.columns = extent(k, 0), extent(k, 1)
        longest = tir.max(padded_extent(k, 1), x.size + x.begin)
        self.pitch = longest + SLACK // self.size
        most = k.target.tuning("pool.reach")
        self.small = tir.all(y.reach < most, x.reach < most)

    def _axis(self, i: int) -> Axis:
        k, pads = self.k, self.k.pads
        taps = (window(k, i), k.strides[i], pads[i], pads[i + 2], k.dilations[i])
        return Axis((k.H, k.W)[i], *taps)

    def emit(self, x: Buffer, out: Buffer, fill: Expr, finish: Finish | None) -> None:
        """Prepare what all planes share, then fold each."""
        k = self.k
        each = finish() if finish else None
        self._allocate()
        asked = tir.call_extern("int32", "ops_windows_plain", self.axes.access_ptr("r"))
        one = tir.const(1, "int32")
        plain = materialized(tir.if_then_else(self.small, one, asked))
        with T.If(tir.all(plain != 0, k.N > 0, k.C > 0)), T.Then():
            self._prepare(fill)
        with T.serial(0, k.N) as n, T.serial(0, k.C) as c:
            at = [n, c, 0, 0]
            self._plane((pointer(x, at, "r"), pointer(out, at, "w")), plain)
            if each is not None:
                with T.serial(0, self.rows) as i:
                    each(out, [n, c, i])

    def _allocate(self) -> None:
        k, y, x = self.k, self.y, self.x
        # The line, and a row for windows of which nothing lies in the plane.
        self.line = T.alloc_buffer((2, self.pitch), k.dtype)
        # The table, or what the runtime takes for each element instead of it.
        most = tir.max(y.size * x.size, self.rows * self.columns)
        elements = tir.Select(self.small, k.index(0), most)
        self.table = T.alloc_buffer((self.rows + HEAD + elements, 2), "int32")
        self.axes = T.alloc_buffer((2 * len(WINDOW_AXIS.types),), "int32")
        words = [
            {**vars(axis), "windows": count}[name]
            for axis, count in ((y, self.rows), (x, self.columns))
            for name in WINDOW_AXIS.types
        ]
        for i, word in enumerate(words):
            T.buffer_store(self.axes, word, [i])

    def _prepare(self, fill: Expr) -> None:
        """Fill the line with pads, and the table of the micro-kernel."""
        y, x, size = self.y, self.x, self.size
        given = {
            "rows": self.rows,
            "columns": self.columns,
            "width": x.size,
            "taps": x.taps,
            "down": y.dilation * x.size * size,
            "across": x.dilation * size,
            "stride": x.stride,
            "begin": x.begin * size,
            "blank": self.pitch * size,
        }
        with T.serial(0, 2) as i, T.serial(0, self.pitch) as j:
            T.buffer_store(self.line, fill, [i, j])
        for i, word in enumerate(TABLE):
            T.buffer_store(self.table, given[word], [i // 2, i % 2])
        with T.serial(0, self.rows) as i:
            first, last = y.taps_inside(i)
            place = (y.first(i) + first * y.dilation) * x.size * size
            T.buffer_store(self.table, place, [i + HEAD, 0])
            T.buffer_store(self.table, tir.max(last - first, 0), [i + HEAD, 1])

    def _plane(self, ends: tuple[Expr, Expr], plain: Expr) -> None:
        """Fold a plane; ends: pointers to it and to its result."""
        k, kind = self.k, self.kind
        halves = kind == "max" and self.element == "f32" and k.target.has("simd128")

        def whole() -> None:
            rest = (self.line.access_ptr("rw"), self.table.access_ptr("r"))
            call(micro.POOL(kind, self.element), *ends, *rest)

        with T.If(plain != 0):
            with T.Then():
                if halves:
                    extents = self.rows, self.columns
                    halve(k.target, ends, (self.y, self.x), extents, whole)
                else:
                    whole()
            with T.Else():
                rest = (self.table.access_ptr("rw"), self.axes.access_ptr("r"))
                call("ops_windows_fold", *ends, *rest, FOLDS[kind, self.element].value)


def halve(
    target: Target,
    ends: tuple[Expr, Expr],
    spatial: Spatial,
    extents: tuple[Expr, Expr],
    otherwise: Callable[[], None],
) -> None:
    """The maxima of a plane by the micro-kernel for 3 x 3 windows, 2 apart.

    Planes with other windows go to `otherwise`; so do planes that may hold a NaN, for
    which the micro-kernel gives up.
    """
    y, x = spatial
    suits = tir.all(
        *(a.taps == HALVED for a in spatial),
        *(a.stride == 2 for a in spatial),
        *(a.dilation == 1 for a in spatial),
        *(a.begin <= 1 for a in spatial),
        x.size >= target.tuning("pool.halve_columns"),
    )
    left = T.alloc_buffer((1,), "int32")
    T.buffer_store(left, 1, [0])
    with T.If(suits), T.Then():
        sizes = (y.size, x.size, y.begin, x.begin, *extents)
        done = tir.call_extern("int32", micro.HALVE(), *ends, *sizes)
        T.buffer_store(left, done, [0])
    with T.If(left[0] != 0), T.Then():
        otherwise()


def taps_inside(k: Kernel, axis: int, position: Expr, low: Expr, high: Expr) -> Expr:
    """How many taps of a window lie in [low, high) of an axis."""
    start = position * k.strides[axis] - k.pads[axis]
    gap, taps = k.dilations[axis], window(k, axis)

    def before(limit: Expr) -> Expr:
        passed = tir.truncdiv(tir.max(limit - start, 0) + gap - 1, gap)
        return tir.min(passed, taps)

    return before(high) - before(low)
