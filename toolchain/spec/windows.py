"""Sliding windows over the planes of x[N, C, H, W], as pooling has them.

A window of R x S taps, dilations apart, starts every strides; pads (top, left,
bottom, right) surround a plane. Extents follow ONNX, ceil_mode included: a last
window that would begin beyond the plane and its leading padding is left out.
"""

from __future__ import annotations

from typing import Any

from toolchain.spec import Attribute, te, tir

Expr = Any
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


def padded(k: Any, fill: Expr) -> Any:
    """Planes of x with `fill` around each."""
    top, left = k.pads[0], k.pads[1]

    def element(n: Expr, c: Expr, y: Expr, x: Expr) -> Expr:
        inside = tir.all(y >= top, y < k.H + top, x >= left, x < k.W + left)
        return tir.if_then_else(inside, k.x[n, c, y - top, x - left], fill)

    shape = (k.N, k.C, padded_extent(k, 0), padded_extent(k, 1))
    return te.compute(shape, element, name="padded")


def fold(k: Any, reducer: Any, fill: Expr, dtype: str, name: str) -> Any:
    """Tensor [N, C, rows, columns]: each window folded by a reducer."""
    plane = padded(k, fill)
    r = te.reduce_axis((0, window(k, 0)), "r")
    s = te.reduce_axis((0, window(k, 1)), "s")

    def element(n: Expr, c: Expr, y: Expr, x: Expr) -> Expr:
        row = y * k.strides[0] + r * k.dilations[0]
        column = x * k.strides[1] + s * k.dilations[1]
        return reducer(plane[n, c, row, column].astype(dtype), axis=[r, s])

    shape = (k.N, k.C, extent(k, 0), extent(k, 1))
    return te.compute(shape, element, name=name)


def taps_inside(k: Any, axis: int, position: Expr, low: Expr, high: Expr) -> Expr:
    """How many taps of a window lie in [low, high) of an axis."""
    start = position * k.strides[axis] - k.pads[axis]
    gap, taps = k.dilations[axis], window(k, axis)

    def before(limit: Expr) -> Expr:
        passed = tir.truncdiv(tir.max(limit - start, 0) + gap - 1, gap)
        return tir.min(passed, taps)

    return before(high) - before(low)


def schedule(sch: Any, target: Any) -> None:
    """One loop over the planes, so that one padded plane is held; taps outside x."""
    del target
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    sch.merge(*(sch.get_loops(b)[1] for b in blocks))
    folded = blocks[1]
    *_, y, x, r, s = sch.get_loops(folded)
    sch.reorder(y, r, s, x)
    sch.decompose_reduction(folded, r)
