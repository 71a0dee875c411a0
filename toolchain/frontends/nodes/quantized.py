"""Rules of quantized tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.nodes.rules import Call, dtype_of_number, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.frontends.nodes.windows import (
    Window,
    convolution,
    kernel_of,
    numbers_of,
)
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


def _axis(c: Call, x: Value, scale: Value) -> int:
    """The axis of the scales; of one scale any that there is."""
    alone = scale.rank == 0 or scale.shape == (1,)
    return 0 if alone else int(c.get("axis", 1))


@rule("QuantizeLinear")
def quantize_linear(c: Call) -> Value:
    """saturate(round(x / scale) + zero)."""
    x, scale, zero = c[0], c[1], c.optional(2)
    number = c.get("output_dtype", 0)
    to = dtype_of_number(number) if number else "uint8" if zero is None else zero.dtype
    if to not in ("int8", "uint8"):
        raise SpecError(f"makes {to}; use int8 or uint8")
    x = c.cast(x, "float32")
    if block := c.get("block_size", 0):
        axis = c.get("axis", 1)
        points = None if zero is None else _blocks(c, zero, x, axis, block)
        return quantized(c, x, _blocks(c, scale, x, axis, block), points, to)
    return by_library(c, "quantize_linear", x, scale, zero, ("float32", to))


@rule("DequantizeLinear")
def dequantize_linear(c: Call) -> Value:
    """(x - zero) * scale."""
    x, scale, zero = c[0], c[1], c.optional(2)
    if x.dtype not in ("int8", "uint8", "int32") or scale.dtype != "float32":
        raise SpecError(f"takes {x.dtype} to {scale.dtype}; use int8 and float32")
    block = c.get("block_size", 0)
    if not block:
        return by_library(c, "dequantize_linear", x, scale, zero, (x.dtype,))
    scale = _blocks(c, scale, x, c.get("axis", 1), block)
    wide = c.cast(x, "int32")
    if zero is not None:
        points = _blocks(c, c.cast(zero, "int32"), x, c.get("axis", 1), block)
        wide = c.call("sub", wide, points)
    return c.call("mul", c.cast(wide, "float32"), scale)


def by_library(
    c: Call,
    name: str,
    x: Value,
    scale: Value,
    zero: Value | None,
    dtypes: tuple[str, ...],
) -> Value:
    """By an operator that has an axis for its scales: a scalar x gets an axis."""
    alone = x.rank == 0
    x = c.builder.reshape(x, [1]) if alone else x
    axis = _axis(c, x, scale)
    found = c.call(name, x, scale, zero, dtypes=dtypes, axis=axis)
    return c.builder.reshape(found, []) if alone else found


def _blocks(c: Call, value: Value, x: Value, axis: int, size: int) -> Value:
    """A scale or zero point per block, for each element."""
    rank = rank_of(x)
    axis %= rank
    wide = c.builder.unsqueeze(value, [axis + 1])
    ones = [1] * (rank + 1)
    ones[axis + 1] = size
    wide = c.call("tile", wide, repeats=ones)
    heads = [size_at(c, value, i) for i in range(rank)]
    heads[axis] = c.call("mul", heads[axis], size)
    flat = c.builder.reshape(wide, joined(c, *heads), 1)
    ends = plain_numbers(size_at(c, x, axis))
    return c.call("slice", flat, starts=[0], ends=ends, axes=[axis])


def quantized(c: Call, x: Value, scale: Value, zero: Value | None, to: str) -> Value:
    """saturate(round(x / scale) + zero) with scales that broadcast."""
    whole = c.call("round", c.call("div", x, scale))
    # More than any zero point can bring back into the range.
    near = c.call("clip", whole, -1024, 1024)
    number = c.cast(near, "int32")
    if zero is not None:
        number = c.call("add", number, c.cast(zero, "int32"))
    ends = np.iinfo(to)
    return c.cast(c.call("clip", number, int(ends.min), int(ends.max)), to)


@rule("DynamicQuantizeLinear")
def dynamic_quantize_linear(c: Call) -> Sequence[Value]:
    """To uint8 by the range of the elements and 0."""
    return c.builder.calls("dynamic_quantize_linear", c[0], outputs=3)


@rule("MatMulInteger")
def matmul_integer(c: Call) -> Value:
    """(a - zero) (b - zero) in int32."""
    return c.call("matmul_integer", c[0], c[1], c.optional(2), c.optional(3))


@rule("QLinearMatMul")
def qlinear_matmul(c: Call) -> Value:
    """MatMulInteger, requantized."""
    if _is_weight(c, 0, 3) and all(_is_one(c, i) for i in (1, 2, 6, 7)):
        a, b = _real(c, 0, 0), _real(c, 3, 1)
        return _quantized_by(c, c.call("matmul", a, b), 6)
    total = c.call("matmul_integer", c[0], c[3], c[2], c[5])
    by_row = [_rows(c, c[i]) for i in (1, 6, 7)]
    scale = c.call("mul", by_row[0], c[4])
    real = c.call("mul", c.cast(total, "float32"), scale)
    return quantized(c, real, by_row[1], by_row[2], c[7].dtype)


def _rows(c: Call, value: Value) -> Value:
    """A scale or zero point for each row of a matrix."""
    if value.rank != 1 or value.shape == (1,):
        return value
    return c.builder.unsqueeze(value, [1])


# -- as the products of dequantized tensors, which a pass finds again --


def _is_weight(c: Call, x: int, w: int) -> bool:
    """Whether an input is no constant, but another one is, with what scales it."""
    known = [c[i].data is not None for i in range(w, min(w + 3, len(c.inputs)))]
    return c[x].data is None and all(known)


def _is_one(c: Call, index: int) -> bool:
    """Whether an input is one number, where it is given."""
    value = c.optional(index)
    return value is None or value.shape in ((), (1,))


def _real(c: Call, index: int, axis: int) -> Value:
    """A tensor by the scale and the zero point that follow it."""
    x, scale, zero = (c[index + i] for i in range(3))
    return c.call("dequantize_linear", x, scale, zero, dtypes=(x.dtype,), axis=axis)


def _quantized_by(c: Call, x: Value, index: int) -> Value:
    to = c[index + 1].dtype
    dtypes = ("float32", to)
    return c.call("quantize_linear", x, c[index], c[index + 1], dtypes=dtypes, axis=0)


def _plain_windows(c: Call, w: int) -> bool:
    """Whether a convolution is one of those that a pass finds."""
    shape, group = c[w].shape or (), c.get("group", 1)
    fits = group == 1 or (group == shape[0] and shape[1] == 1)
    pads = c.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return len(shape) in (3, 4) and fits and pads


def _convolution(c: Call, *inputs: Value | None) -> Value:
    inner = Call(c.node, list(inputs), c.scope, c.regions, c.path)
    inner.name = "Conv"
    return convolution(inner)


def _integers(c: Call, index: int, zero: Value | None) -> Value:
    """(x - zero), as floats."""
    x, one = c[index], c.constant(1, "float32")
    zero = zero if zero is None or zero.shape != (1,) else _scalar(c, zero)
    return c.call("dequantize_linear", x, one, zero, dtypes=(x.dtype,), axis=0)


# -- as products of integers --


def integer_convolution(
    c: Call, x: Value, w: Value, zeros: Sequence[Value | None]
) -> Value:
    """A convolution in int32: the product of weights and of the windows' elements."""
    window, group = kernel_of(c, w), c.get("group", 1)
    taps = _taps(c, x, window, zeros[0])
    features, depth = size_at(c, w, 0), size_at(c, w, 1)
    count = int(np.prod(numbers_of(window.sizes, "its kernel's size")))
    batch = size_at(c, x, 0)
    row = c.call("mul", depth, count)
    # Not -1, which nothing says where a size is 0.
    places = size_at(c, taps, 3)
    for axis in range(4, 3 + window.rank):
        places = c.call("mul", places, size_at(c, taps, axis))
    columns = c.builder.reshape(taps, joined(c, batch, group, row, places), 1)
    part = c.call("div", features, group)
    weights = c.builder.reshape(w, joined(c, group, part, row), 1)
    if group == 1:  # a matrix, whose rows may have zero points
        weights = c.builder.reshape(w, joined(c, features, row), 1)
        columns = c.builder.reshape(taps, joined(c, batch, row, places), 1)
    elif zeros[1] is not None and zeros[1].shape not in ((), (1,)):
        raise SpecError("has groups and a zero point for each of its features")
    found = c.call("matmul_integer", weights, columns, zeros[1], _scalar(c, zeros[0]))
    extents = c.builder.shape_of(taps, 3)
    return c.builder.reshape(found, joined(c, batch, features, extents), 1)


def _scalar(c: Call, value: Value | None) -> Value | None:
    return value and c.builder.reshape(value, [])


def _taps(c: Call, x: Value, window: Window, zero: Value | None) -> Value:
    """Elements of windows: [N, C, taps, ...], taps in the order of the kernel."""
    sizes = numbers_of(window.sizes, "its kernel's size")
    pads = window.pads(x)
    none = [0, 0]
    if isinstance(pads, Value):
        halves = (c.builder.reshape(pads, [2, -1]),)
        edge = c.constant([none, none], "int64")
        whole = c.call("concat", edge, *halves, axis=1)
        pads = c.builder.reshape(whole, [-1])
    else:
        pads = [*none, *pads[: window.rank], *none, *pads[window.rank :]]
    given: dict[str, Any] = {"mode": "constant", "pads": pads, "value": 0}
    if zero is not None:
        given["value"] = plain_numbers(c.cast(_scalar(c, zero) or zero, "int64"))
    x = c.call("pad", x, **given)
    axes = [*range(2, 2 + window.rank)]
    parts = []
    for tap in np.ndindex(*sizes):
        starts = [t * d for t, d in zip(tap, window.dilations, strict=True)]
        rest = [
            (s - 1 - t) * d
            for s, t, d in zip(sizes, tap, window.dilations, strict=True)
        ]
        ends = [-r if r else 1 << 31 for r in rest]
        cut = c.call(
            "slice", x, starts=starts, ends=ends, axes=axes, steps=window.strides
        )
        parts.append(c.builder.unsqueeze(cut, [2]))
    return c.call("concat", *parts, axis=2)


@rule("ConvInteger")
def conv_integer(c: Call) -> Value:
    """The convolution of x - zero and w - zero, in int32."""
    zeros = c.optional(2), c.optional(3)
    known = c[1].data is not None and (zeros[1] is None or zeros[1].data is not None)
    if c[0].data is None and known and _plain_windows(c, 1) and _is_one(c, 2):
        real = _convolution(c, _integers(c, 0, zeros[0]), _integers(c, 1, zeros[1]))
        return c.cast(real, "int32")
    return integer_convolution(c, c[0], c[1], zeros)


@rule("QLinearConv")
def qlinear_conv(c: Call) -> Value:
    """ConvInteger with a bias, requantized."""
    one = all(_is_one(c, i) for i in (1, 2, 6, 7)) and c[1].data is not None
    if _is_weight(c, 0, 3) and one and _plain_windows(c, 3):
        bias = c.optional(8)
        if bias is not None:
            unit = c.call("mul", c.builder.reshape(c[1], []), c[4])
            bias = c.call("mul", c.cast(bias, "float32"), unit)
        real = _convolution(c, _real(c, 0, 0), _real(c, 3, 0), bias)
        return _quantized_by(c, real, 6)
    total = integer_convolution(c, c[0], c[3], (c[2], c[5]))
    bias, axes = c.optional(8), [*range(1, rank_of(c[0]) - 1)]
    if bias is not None:
        total = c.call("add", total, c.builder.unsqueeze(bias, axes))
    scales = c[4]
    if scales.rank == 1 and scales.shape != (1,):
        scales = c.builder.unsqueeze(scales, axes)
    scale = c.call("mul", c.builder.reshape(c[1], []), scales)
    real = c.call("mul", c.cast(total, "float32"), scale)
    return quantized(
        c, real, c.builder.reshape(c[6], []), c.builder.reshape(c[7], []), c[7].dtype
    )
