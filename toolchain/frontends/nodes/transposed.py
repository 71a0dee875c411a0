"""The rule of ConvTranspose: a convolution of the image with zeros between elements."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.shapes import joined, size_at
from toolchain.frontends.nodes.windows import Window, deep, kernel_of
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


@rule("ConvTranspose")
def conv_transpose(c: Call) -> Value:
    """By Conv with the kernel turned round."""
    x, w, bias = c[0], c[1], c.optional(2)
    window, group = kernel_of(c, w), c.get("group", 1)
    if window.rank not in (1, 2, 3):
        raise SpecError(f"has {window.rank} spatial axes; use 1 to 3")
    wide = _stretched(c, x, window)
    wide = c.call("pad", wide, mode="constant", pads=_amounts(c, x, window))
    dilations: Any = window.dilations
    weights = _turned(c, w, group, window.rank)
    if window.rank < 3:
        return c.call("conv", wide, weights, bias, group=group, dilations=dilations)
    window.strides = [1] * 3
    found = deep(c, wide, weights, window, [0] * 6)
    return found if bias is None else c.call("add", found, _aligned(c, bias))


def _aligned(c: Call, bias: Value) -> Value:
    return c.builder.unsqueeze(bias, [1, 2, 3])


def _stretched(c: Call, x: Value, window: Window) -> Value:
    """Zeros between elements, strides - 1 of them after each."""
    for i, step in enumerate(window.strides):
        if step == 1:
            continue
        axis = 2 + i
        sizes = [size_at(c, x, a) for a in range(2 + window.rank)]
        parted = c.builder.unsqueeze(x, [axis + 1])
        pads = [0] * 2 * (3 + window.rank)
        pads[3 + window.rank + axis + 1] = step - 1
        filled = c.call("pad", parted, mode="constant", pads=pads)
        sizes[axis] = c.call("mul", sizes[axis], step)
        x = c.builder.reshape(filled, joined(c, *sizes), 1)
    return x


def _turned(c: Call, w: Value, group: int, rank: int) -> Value:
    """Weights [C, M / group, ...] as Conv's [M, C / group, ...], turned round."""
    axes = [*range(2, 2 + rank)]
    back: dict[str, Any] = {"starts": [-1] * rank, "ends": [-(1 << 31)] * rank}
    w = c.call("slice", w, axes=axes, steps=[-1] * rank, **back)
    if group == 1:
        return c.call("transpose", w, perm=[1, 0, *axes])
    spatial = c.builder.shape_of(w, 2)
    depth, features = size_at(c, w, 0), size_at(c, w, 1)
    part = c.call("div", depth, group)
    parts = c.builder.reshape(w, joined(c, group, part, features, spatial), 1)
    moved = c.call("transpose", parts, perm=[0, 2, 1, *(a + 1 for a in axes)])
    whole = joined(c, c.call("mul", features, group), part, spatial)
    return c.builder.reshape(moved, whole, 1)


def _amounts(c: Call, x: Value, window: Window) -> Any:
    """Pads of all axes for the stretched image; negative ones take away.

    The stretched image has strides - 1 zeros more at its end than it needs.
    """
    begins, ends = _pads(c, x, window)
    more = c.get("output_padding") or [0] * window.rank
    before, after = [], []
    for i in range(window.rank):
        reach = window.reach(i)
        reach = reach if isinstance(reach, Value) else c.constant([reach], "int64")
        edge = c.call("sub", reach, 1)
        before.append(c.call("sub", edge, begins[i]))
        rest = c.call("add", c.call("sub", edge, ends[i]), more[i])
        after.append(c.call("sub", rest, window.strides[i] - 1))
    none = c.constant([0, 0], "int64")
    return joined(c, none, *before, none, *after)


def _pads(c: Call, x: Value, window: Window) -> tuple[list[Value], list[Value]]:
    """Begins and ends, as output_shape or auto_pad may ask for them."""
    wanted, kind = c.get("output_shape"), c.get("auto_pad", "NOTSET")
    given = c.get("pads") or [0] * 2 * window.rank
    if not wanted and kind in ("NOTSET", "VALID"):
        values = [c.constant([n if kind == "NOTSET" else 0], "int64") for n in given]
        return values[: window.rank], values[window.rank :]
    more = c.get("output_padding") or [0] * window.rank
    begins, ends = [], []
    for i, step in enumerate(window.strides):
        size = size_at(c, x, 2 + i)
        reach = window.reach(i)
        full = c.call("mul", c.call("sub", size, 1), step)
        full = c.call("add", c.call("add", full, reach), more[i])
        if wanted:
            total = c.call("sub", full, wanted[i - window.rank])
        else:
            total = c.call("sub", full, c.call("mul", size, step))
        pads = c.call("maximum", total, 0)
        less = c.call("div", pads, 2)
        rest = c.call("sub", pads, less)
        upper = kind == "SAME_UPPER"
        begins.append(less if upper else rest)
        beyond = c.call("minimum", total, 0)
        ends.append(c.call("add", rest if upper else less, beyond))
    return begins, ends
