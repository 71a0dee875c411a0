"""Shapes of what sliding windows give, before a model runs.

A size is a number, an expression over named sizes, or None where it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

# A toolchain.graph.calls.Call, and what it has: rooms below this one.
Call: TypeAlias = Any
Size: TypeAlias = Any
Shape: TypeAlias = tuple[Size, ...] | None


class _Axis(NamedTuple):
    """A spatial axis: its elements, and the windows over it."""

    size: Size
    taps: Size
    stride: Size
    dilation: Size
    before: Size
    after: Size


def pooled(call: Call) -> list[Shape]:
    """The shape of a pooling over one axis or more, for each output."""
    up = call.integer("ceil_mode")

    def windows(axis: _Axis) -> Size:
        """None begins beyond x and its begin."""
        reach = axis.dilation * (axis.taps - 1) + 1
        room = axis.size + axis.before + axis.after - reach
        if not up:
            return None if up is None else room // axis.stride + 1
        begins = (axis.size + axis.before + axis.stride - 1) // axis.stride
        return call.least((room + axis.stride - 1) // axis.stride + 1, begins)

    return [_along(call, windows)] * len(call.operator.outputs)


def convolved_last(call: Call) -> list[Shape]:
    """The shape of a convolution of images with their channels last."""
    shape = _along(
        call,
        lambda axis: (
            (axis.size + axis.before + axis.after - axis.dilation * (axis.taps - 1) - 1)
            // axis.stride
            + 1
        ),
        channels_last=True,
    )
    return [None if shape is None else (*shape[:-1], call.integer("features"))]


def unpooled(call: Call) -> list[Shape]:
    """The shape that such a pooling had, or what output_shape has of it."""

    def elements(axis: _Axis) -> Size:
        return (axis.size - 1) * axis.stride + axis.taps - axis.before - axis.after

    shape, given = _along(call, elements), call.sizes("output_shape")
    if shape is None or given is None:
        return [None if shape is None else (*shape[:2], *[None] * len(shape[2:]))]
    pairs = zip(given, shape[2:], strict=True)
    sizes = [own if g == 0 else g if isinstance(g, int) else None for g, own in pairs]
    return [(*shape[:2], *sizes)]


def _along(
    call: Call, size_of: Callable[[_Axis], Size], channels_last: bool = False
) -> Shape:
    x, kernel = call.shape(0), call.sizes("kernel_shape")
    if x is None:
        return None if kernel is None else (None,) * (2 + len(kernel))
    places = x[1:-1] if channels_last else x[2:]
    unknown = [None] * len(places)
    pads = call.sizes("pads") or 2 * unknown
    strides = call.sizes("strides") or unknown
    dilations = call.sizes("dilations") or unknown
    ends = pads[: len(unknown)], pads[len(unknown) :]
    rows = zip(places, kernel or unknown, strides, dilations, *ends, strict=True)
    sizes = [None if None in row else size_of(_Axis(*row)) for row in rows]
    return (x[0], *sizes, x[-1]) if channels_last else (*x[:2], *sizes)
