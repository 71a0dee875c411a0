"""ONNX operators on quantized tensors, in Relax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    converter,
    dtype_of,
    relax_ops,
    sizes_of,
)
from toolchain.frontends.importer import Call
from toolchain.spec import SpecError


def _per_axis(c: Call, value: Any, rank: int, axis: int) -> Any:
    """A scale or zero point so that it broadcasts along the axis."""
    shape = sizes_of(value)
    if int(np.prod(shape)) == 1:
        return c.emit(relax_ops().reshape(value, ())) if shape else value
    wide = [shape[0] if i == axis else 1 for i in range(rank)]
    return c.emit(relax_ops().reshape(value, wide))


def _blocks(c: Call, value: Any, shape: tuple[int, ...], axis: int, size: int) -> Any:
    """A scale or zero point per block, for each element."""
    if not size:
        return _per_axis(c, value, len(shape), axis)
    wide = c.emit(relax_ops().repeat(value, size, axis))
    return c.emit(relax_ops().strided_slice(wide, [axis], [0], [shape[axis]]))


# More than any zero point can bring back into the range.
_FAR = {"int8": 1 << 10, "uint8": 1 << 10, "int16": 1 << 17, "uint16": 1 << 17}


def _quantized(c: Call, x: Any, scale: Any, zero: Any, dtype: str) -> Any:
    """saturate(round(x / scale) + zero), ties to even; NaN gives zero."""
    op = relax_ops()
    whole = c.emit(op.round(c.emit(op.divide(x, scale))))
    if dtype in _FAR:
        far = float(_FAR[dtype])
        whole = c.emit(op.clip(whole, -far, far))
    number = c.emit(op.astype(whole, "int32"))
    if zero is not None:
        number = c.emit(op.add(number, c.emit(op.astype(zero, "int32"))))
    if dtype not in _FAR:
        return number
    limits = np.iinfo(dtype)
    inside = c.emit(op.clip(number, int(limits.min), int(limits.max)))
    return c.emit(op.astype(inside, dtype))


def _dequantized(c: Call, x: Any, scale: Any, zero: Any) -> Any:
    """(x - zero) * scale; of int32 in float64, which holds the difference."""
    op = relax_ops()
    wide = "float64" if dtype_of(x) == "int32" else "int32"
    if zero is not None:
        x, zero = (c.emit(op.astype(v, wide)) for v in (x, zero))
        x = c.emit(op.subtract(x, zero))
    if wide == "int32":
        return op.multiply(c.emit(op.astype(x, "float32")), scale)
    x, scale = (c.emit(op.astype(v, wide)) for v in (x, scale))
    return op.astype(c.emit(op.multiply(x, scale)), "float32")


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


@converter("QuantizeLinear")
def quantize_linear(c: Call) -> Any:
    """saturate(round(x / scale) + zero)."""
    from onnx import helper

    x, scale, zero = c[0], c[1], c[2]
    number = c.get("output_dtype", 0)
    dtype = "uint8" if zero is None else dtype_of(zero)
    if number:
        dtype = str(helper.tensor_dtype_to_np_dtype(number))
    if dtype not in INTEGERS:
        raise SpecError(f"makes {dtype}; use int8 or uint8")
    shape, block = c.shape(0), c.get("block_size", 0)
    axis = c.get("axis", 1) % max(len(shape), 1)
    scale = _blocks(c, scale, shape, axis, block)
    zero = None if zero is None else _blocks(c, zero, shape, axis, block)
    if dtype_of(x) != "float32":
        x = c.emit(relax_ops().astype(x, "float32"))
    return _quantized(c, x, scale, zero, dtype)


@converter("DequantizeLinear")
def dequantize_linear(c: Call) -> Any:
    """(x - zero) * scale."""
    x, scale, zero = c[0], c[1], c[2]
    if dtype_of(x) not in INTEGERS or dtype_of(scale) != "float32":
        raise SpecError(
            f"takes {dtype_of(x)} to {dtype_of(scale)}; use int8 and float32"
        )
    shape, block = c.shape(0), c.get("block_size", 0)
    axis = c.get("axis", 1) % max(len(shape), 1)
    scale = _blocks(c, scale, shape, axis, block)
    zero = None if zero is None else _blocks(c, zero, shape, axis, block)
    return _dequantized(c, x, scale, zero)


@converter("DynamicQuantizeLinear")
def dynamic_quantize_linear(c: Call) -> Any:
    """To uint8 by the range of the elements and 0."""
    op, x, zero = relax_ops(), c[0], const(0, "float32")
    high = c.emit(op.maximum(c.emit(op.max(x)), zero))
    low = c.emit(op.minimum(c.emit(op.min(x)), zero))
    scale = c.emit(op.divide(c.emit(op.subtract(high, low)), const(255, "float32")))
    none = c.emit(op.equal(scale, zero))
    scale = c.emit(op.where(none, const(1, "float32"), scale))
    point = c.emit(op.round(c.emit(op.divide(c.emit(op.subtract(zero, low)), scale))))
    point = c.emit(op.astype(c.emit(op.clip(point, 0.0, 255.0)), "uint8"))
    return [_quantized(c, x, scale, point, "uint8"), scale, point]


def _centred(c: Call, x: Any, zero: Any) -> Any:
    """X - zero as int32."""
    op = relax_ops()
    x = c.emit(op.astype(x, "int32"))
    if zero is None:
        return x
    return c.emit(op.subtract(x, c.emit(op.astype(zero, "int32"))))


def _rows(c: Call, zero: Any, rank: int) -> Any:
    """A zero point for each row of a matrix."""
    if zero is None or len(sizes_of(zero)) != 1:
        return zero
    if sizes_of(zero) == (1,):
        return c.emit(relax_ops().reshape(zero, ()))
    return (
        c.emit(relax_ops().reshape(zero, (sizes_of(zero)[0], 1))) if rank > 1 else zero
    )


@converter("MatMulInteger")
def matmul_integer(c: Call) -> Any:
    """(a - zero) (b - zero) in int32."""
    a = _centred(c, c[0], _rows(c, c[2], len(c.shape(0))))
    return relax_ops().matmul(a, _centred(c, c[1], c[3]), out_dtype="int32")


@converter("QLinearMatMul")
def qlinear_matmul(c: Call) -> Any:
    """MatMulInteger, requantized."""
    op = relax_ops()
    rank = len(c.shape(0))
    a = _centred(c, c[0], _rows(c, c[2], rank))
    b = _centred(c, c[3], c[5])
    total = c.emit(op.matmul(a, b, out_dtype="int32"))
    scale = c.emit(op.multiply(_rows(c, c[1], rank), c[4]))
    real = c.emit(op.multiply(c.emit(op.astype(total, "float32")), scale))
    zero = c[7]
    return _quantized(
        c, real, _rows(c, c[6], rank), _rows(c, zero, rank), dtype_of(zero)
    )


def _integer_conv(c: Call, x: Any, weight: Any) -> Any:
    """The convolution of int32 tensors, each element a sum below 2^31."""
    op = relax_ops()
    rank = len(sizes_of(x)) - 2
    kernel = sizes_of(weight)[2:]
    strides = c.get("strides", [1] * rank)
    dilations = c.get("dilations", [1] * rank)
    pads = padding(c, sizes_of(x)[2:], kernel, strides, dilations)
    if rank not in (1, 2, 3):
        raise SpecError(f"has {rank} spatial axes; use 1..3")
    step = (op.nn.conv1d, op.nn.conv2d, op.nn.conv3d)[rank - 1]
    return c.emit(
        step(
            x,
            weight,
            strides=strides,
            padding=pads,
            dilation=dilations,
            groups=c.get("group", 1),
            out_dtype="int32",
        )
    )


def padding(
    c: Call,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int]:
    """Padding before and after each axis, auto_pad resolved."""
    rule = c.get("auto_pad", "NOTSET")
    if rule == "NOTSET":
        return list(c.get("pads", [0] * 2 * len(sizes)))
    if rule == "VALID":
        return [0] * 2 * len(sizes)
    before, after = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        less, more = total // 2, total - total // 2
        before.append(less if rule == "SAME_UPPER" else more)
        after.append(more if rule == "SAME_UPPER" else less)
    return before + after


@converter("ConvInteger")
def conv_integer(c: Call) -> Any:
    """The convolution of x - zero and w - zero, in int32."""
    zero = c[3]
    if zero is not None:
        zero = _per_axis(c, zero, len(c.shape(1)), 0)
    return _integer_conv(
        c, _centred(c, c[0], _scalar(c, c[2])), _centred(c, c[1], zero)
    )


def _scalar(c: Call, value: Any) -> Any:
    if value is None or not sizes_of(value):
        return value
    return c.emit(relax_ops().reshape(value, ()))


@converter("QLinearConv")
def qlinear_conv(c: Call) -> Any:
    """ConvInteger with a bias, requantized."""
    op, rank = relax_ops(), len(c.shape(0))
    w_zero = _per_axis(c, c[5], rank, 0)
    x = _centred(c, c[0], _scalar(c, c[2]))
    total = _integer_conv(c, x, _centred(c, c[3], w_zero))
    if c[8] is not None:
        total = c.emit(op.add(total, _per_axis(c, c[8], rank, 1)))
    scale = c.emit(op.multiply(_scalar(c, c[1]), _per_axis(c, c[4], rank, 1)))
    real = c.emit(op.multiply(c.emit(op.astype(total, "float32")), scale))
    return _quantized(c, real, _scalar(c, c[6]), _scalar(c, c[7]), dtype_of(c[7]))
