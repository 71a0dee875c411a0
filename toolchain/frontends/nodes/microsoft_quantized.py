"""Rules of com.microsoft's operators on quantized tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolchain.frontends.nodes.microsoft import MS
from toolchain.frontends.nodes.quantized import (
    by_library,
    dequantize_linear,
    dynamic_quantize_linear,
    quantize_linear,
)
from toolchain.frontends.nodes.recurrent import recurrent
from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.windows import pool
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

rule("QuantizeLinear", domain=MS)(quantize_linear)
rule("DequantizeLinear", domain=MS)(dequantize_linear)


def _real(c: Call, x: Value, scale: Value, zero: Value | None) -> Value:
    """(x - zero) * scale, of scalars."""
    return by_library(c, "dequantize_linear", x, scale, zero, (x.dtype,))


def _scalar(c: Call, x: Value) -> Value:
    return x if x.rank == 0 else c.builder.reshape(x, [])


def _back(c: Call, x: Value, scale: Value, zero: Value | None, to: str) -> Value:
    return by_library(c, "quantize_linear", x, scale, zero, ("float32", to))


@rule("QLinearAdd", "QLinearMul", domain=MS)
def two(c: Call) -> Value:
    """A sum or product of quantized tensors."""
    a = _real(c, c[0], c[1], c.optional(2))
    b = _real(c, c[3], c[4], c.optional(5))
    found = c.call("add" if c.name == "QLinearAdd" else "mul", a, b)
    return _back(c, found, c[6], c.optional(7), c[0].dtype)


def _pooled(c: Call, x: Value) -> Value:
    inner = Call(c.node, [x], c.scope, c.regions, c.path)
    inner.name = "AveragePool"
    return pool(inner)[0]


_UNARY: dict[str, Callable[[Call, Value], Value]] = {
    "QLinearSigmoid": lambda c, x: c.call("sigmoid", x),
    "QLinearLeakyRelu": lambda c, x: c.call(
        "leaky_relu", x, alpha=float(c.get("alpha", 0.01))
    ),
    "QLinearAveragePool": _pooled,
    "QLinearGlobalAveragePool": lambda c, x: c.call("global_average_pool", x),
    "QLinearSoftmax": lambda c, x: c.call("softmax", x, axis=c.get("axis", -1)),
}


@rule(*_UNARY, domain=MS)
def one(c: Call) -> Value:
    """A function of a quantized tensor."""
    if c.get("channels_last", 0):
        raise SpecError("has its channels last; take the file before it was optimised")
    if c.name == "QLinearSoftmax" and c.get("opset", 13) < 13:
        raise SpecError("is of an old opset; export the model with opset 13")
    found = _UNARY[c.name](c, _real(c, c[0], c[1], c.optional(2)))
    return _back(c, found, c[3], c.optional(4), c[0].dtype)


@rule("QLinearConcat", domain=MS)
def concat(c: Call) -> Value:
    """Quantized tensors one after the other, each with its scale and zero point."""
    parts = [
        _real(c, c[i], c[i + 1], c.optional(i + 2)) for i in range(2, len(c.inputs), 3)
    ]
    found = c.call("concat", *parts, axis=c.get("axis"))
    return _back(c, found, c[0], c[1], c[2].dtype)


@rule("QGemm", domain=MS)
def gemm(c: Call) -> Value:
    """A product of quantized matrices with a bias of int32."""
    turns = {n: c.get(n, 0) for n in ("transA", "transB")}
    alpha, axis = float(c.get("alpha", 1.0)), int(not turns["transB"])
    b, bias = c[3], c.optional(6)
    axis = 0 if c[4].shape in ((), (1,)) else axis
    quantized, scale, zero = b, c[4], c.optional(5)
    real = c.call(
        "dequantize_linear", quantized, scale, zero, dtypes=(b.dtype,), axis=axis
    )
    if bias is not None:
        unit = c.call("mul", c.call("mul", _scalar(c, c[1]), c[4]), alpha)
        bias = c.call("mul", c.cast(bias, "float32"), unit)
    a = _real(c, c[0], c[1], c.optional(2))
    found = c.call("gemm", a, real, bias, alpha=alpha, **turns)
    if c.optional(7) is None:
        return found
    return _back(c, found, c[7], c.optional(8), c[0].dtype)


@rule("MatMulIntegerToFloat", domain=MS)
def matmul_to_float(c: Call) -> Value:
    """MatMulInteger times the scales, and a bias."""
    total = c.call("matmul_integer", c[0], c[1], c.optional(4), c.optional(5))
    return _finished(c, total, c.call("mul", c[2], c[3]), c.optional(6))


def _finished(c: Call, total: Value, scale: Value, bias: Value | None) -> Value:
    found = c.call("mul", c.cast(total, "float32"), scale)
    return found if bias is None else c.call("add", found, bias)


@rule("DynamicQuantizeMatMul", domain=MS)
def dynamic_matmul(c: Call) -> Value:
    """A product whose first operand is quantized by its range."""
    x, scale, zero = dynamic_quantize_linear(c)
    total = c.call("matmul_integer", x, c[1], zero, c.optional(3))
    return _finished(c, total, c.call("mul", scale, c[2]), c.optional(4))


@rule("MatMulNBits", domain=MS)
def matmul_bits(c: Call) -> Value:
    """A product with weights of 4 or 8 bits in blocks, which are made floats here."""
    if any(v is not None for v in c.inputs[4:5]):
        raise SpecError("has an order of groups; leave it out")
    rows, k, bits = c.get("N"), c.get("K"), c.get("bits", 4)
    weights, scales = _unpacked(c, 1, bits), _known(c, 2)
    half = float(1 << (bits - 1))
    zeros = half if c.optional(3) is None else _unpacked(c, 3, bits)
    if isinstance(zeros, np.ndarray):
        count = -(-k // c.get("block_size"))
        zeros = zeros.reshape(rows, -1)[:, :count, None]
    blocks = weights.reshape(rows, -1, c.get("block_size"))
    real = (blocks - zeros) * scales.reshape(rows, -1, 1)
    whole = real.reshape(rows, -1)[:, :k].T.astype("float32")
    found = c.call("matmul", c[0], c.builder.constant(whole))
    bias = c.optional(5)
    return found if bias is None else c.call("add", found, bias)


def _known(c: Call, index: int) -> Any:
    """The elements of an input. Errors: SpecError where they are not constant."""
    data = c[index].data
    if data is None:
        raise SpecError(f"its input {index} must be constant; make it a weight")
    return data


def _unpacked(c: Call, index: int, bits: int) -> Any:
    """Numbers of 4 bits, the lower first in each byte, or of 8."""
    data = _known(c, index)
    if bits not in (4, 8):
        raise SpecError(f"has {bits} bits; use 4 or 8")
    if data.dtype != np.uint8 or bits == 8:
        return data.astype("float32")
    return (
        np.stack([data & 15, data >> 4], -1).reshape(*data.shape[:-1], -1).astype("f4")
    )


@rule("DynamicQuantizeLSTM", domain=MS)
def dynamic_lstm(c: Call) -> Sequence[Value]:
    """LSTM with weights of 8 bits, which are made floats here."""
    weights = [
        _dequantized(c, c[1], c[8], c[9]),
        _dequantized(c, c[2], c[10], c[11]),
    ]
    turned = [c.call("transpose", w, perm=[0, 2, 1]) for w in weights]
    inputs = [c[0], *turned, *(c.optional(i) for i in range(3, 8))]
    inner = Call(c.node, inputs, c.scope, c.regions, c.path)
    inner.name, inner.domain, inner.opset = "LSTM", "", 14
    return recurrent(inner)


def _dequantized(c: Call, w: Value, scale: Value, zero: Value) -> Value:
    """Weights [directions, K, N] as floats; scales for all, or for each column."""
    wide = c.call("sub", c.cast(w, "int32"), c.cast(_columns(c, zero), "int32"))
    return c.call("mul", c.cast(wide, "float32"), _columns(c, scale))


def _columns(c: Call, x: Value) -> Value:
    return c.builder.unsqueeze(x, [1]) if x.rank == 2 else _wide(c, x)


def _wide(c: Call, x: Value) -> Value:
    return c.builder.unsqueeze(x, [1, 2]) if x.rank == 1 else x
