"""Sliding windows over the planes of x[N, C, H, W], as pooling has them.

A window of R x S taps, dilations apart, starts every strides; pads (top, left,
bottom, right) surround a plane. Extents follow ONNX, ceil_mode included: a last
window that would begin beyond the plane and its leading padding is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.spec import Attribute, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.convolution import Axis
from toolchain.spec.nest import call, materialized, nest, pointer
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

Expr = Any
Finish = Callable[[], Callable[[Any, list[Any]], None]]
SLACK = 32  # bytes that the micro-kernel may read past the line's end
# The table that toolchain/micro/pool.py reads: these words, in pairs, then a
# pair for each row of windows.
TABLE = (
    *("rows", "columns", "width", "taps"),
    *("down", "across", "stride", "begin", "blank", "blank"),
)
LINES = len(TABLE) // 2
# Taps along each axis of what micro.HALVE takes, and columns of x: of at least 12,
# but with fewer than 16 it is no faster.
HALVED, NARROWEST = 3, 16
# Windows that reach no further never read an element more often than that many times
# 4, and are not asked about.
REACH = 16
# Kinds of runtime_stub/windows.h.
FOLDS = {("max", "f32"): 0, ("sum", "f32"): 1, ("max", "i8"): 2, ("max", "u8"): 3}
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


def fold(k: Any, kind: str, fill: Any, finish: Finish | None = None) -> Any:
    """Tensor [N, C, rows, columns]: each window of x folded by `kind`, max or sum.

    fill: what pads hold. finish() gives a function that is called on each row. The
    micro-kernel goes tap by tap; windows for which that is out of proportion to the
    plane and the result are the runtime's (runtime_stub/windows.c).
    """
    y, x = (
        Axis(size, window(k, i), k.strides[i], k.pads[i], k.pads[i + 2], k.dilations[i])
        for i, size in enumerate((k.H, k.W))
    )
    size = 4 if k.dtype == "float32" else 1  # bytes
    rows, columns = extent(k, 0), extent(k, 1)
    longest = tir.max(padded_extent(k, 1), x.size + x.begin)
    pitch = longest + SLACK // size
    element = {"float32": "f32", "int8": "i8", "uint8": "u8"}[k.dtype]
    small = tir.all(y.reach < REACH, x.reach < REACH)

    def emit(ins: Any, out: Any) -> None:
        each = finish() if finish else None
        # The line, and a row for windows of which nothing lies in the plane.
        line = T.alloc_buffer((2, pitch), k.dtype)
        # The table, or what the runtime takes for each element instead of it.
        elements = tir.Select(
            small, k.index(0), tir.max(y.size * x.size, rows * columns)
        )
        table = T.alloc_buffer((rows + LINES + elements, 2), "int32")
        axes = T.alloc_buffer((12,), "int32")
        words = (
            *(y.size, rows, y.taps, y.stride, y.dilation, y.begin),
            *(x.size, columns, x.taps, x.stride, x.dilation, x.begin),
        )
        for i, word in enumerate(words):
            T.buffer_store(axes, word, [i])
        asked = tir.call_extern("int32", "ops_windows_plain", axes.access_ptr("r"))
        plain = materialized(tir.if_then_else(small, tir.const(1, "int32"), asked))
        given = {
            "rows": rows,
            "columns": columns,
            "width": x.size,
            "taps": x.taps,
            "down": y.dilation * x.size * size,
            "across": x.dilation * size,
            "stride": x.stride,
            "begin": x.begin * size,
            "blank": pitch * size,
        }

        def prepare() -> None:
            with T.serial(0, 2) as i, T.serial(0, pitch) as j:
                T.buffer_store(line, fill, [i, j])
            for i, word in enumerate(TABLE):
                T.buffer_store(table, given[word], [i // 2, i % 2])
            with T.serial(0, rows) as i:
                first, last = y.taps_inside(i)
                place = (y.first(i) + first * y.dilation) * x.size * size
                T.buffer_store(table, place, [i + LINES, 0])
                T.buffer_store(table, tir.max(last - first, 0), [i + LINES, 1])

        with T.If(tir.all(plain != 0, k.N > 0, k.C > 0)), T.Then():
            prepare()
        halves = kind == "max" and element == "f32" and k.target.has("simd128")
        with T.serial(0, k.N) as n, T.serial(0, k.C) as c:
            ends = (
                pointer(ins[0], [n, c, 0, 0], "r"),
                pointer(out, [n, c, 0, 0], "w"),
            )

            def whole() -> None:
                rest = (line.access_ptr("rw"), table.access_ptr("r"))
                call(micro.POOL(kind, element), *ends, *rest)

            with T.If(plain != 0):
                with T.Then():
                    if halves:
                        halve(ends, (y, x), (rows, columns), whole)
                    else:
                        whole()
                with T.Else():
                    rest = (table.access_ptr("rw"), axes.access_ptr("r"))
                    call("ops_windows_fold", *ends, *rest, FOLDS[kind, element])
            if each is not None:
                with T.serial(0, rows) as i:
                    each(out, [n, c, i])

    return nest((k.N, k.C, rows, columns), [k.x], emit, k.dtype)


def halve(
    ends: tuple[Any, Any],
    spatial: tuple[Axis, Axis],
    extents: tuple[Any, Any],
    otherwise: Callable[[], None],
) -> None:
    """The maxima of a plane by the micro-kernel for 3 x 3 windows, 2 apart, if it can.

    It cannot where windows are others, or where an element may be NaN.
    """
    y, x = spatial
    suits = tir.all(
        *(a.taps == HALVED for a in spatial),
        *(a.stride == 2 for a in spatial),
        *(a.dilation == 1 for a in spatial),
        *(a.begin <= 1 for a in spatial),
        x.size >= NARROWEST,
    )
    left = T.alloc_buffer((1,), "int32")
    T.buffer_store(left, 1, [0])
    with T.If(suits), T.Then():
        sizes = (y.size, x.size, y.begin, x.begin, *extents)
        done = tir.call_extern("int32", micro.HALVE(), *ends, *sizes)
        T.buffer_store(left, done, [0])
    with T.If(left[0] != 0), T.Then():
        otherwise()


def taps_inside(k: Any, axis: int, position: Expr, low: Expr, high: Expr) -> Expr:
    """How many taps of a window lie in [low, high) of an axis."""
    start = position * k.strides[axis] - k.pads[axis]
    gap, taps = k.dilations[axis], window(k, axis)

    def before(limit: Expr) -> Expr:
        passed = tir.truncdiv(tir.max(limit - start, 0) + gap - 1, gap)
        return tir.min(passed, taps)

    return before(high) - before(low)
