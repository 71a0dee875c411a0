"""ONNX normalizations and transposed convolution, in Relax."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    constant_of,
    converter,
    dtype_of,
    relax_ops,
)
from toolchain.frontends.importer import Call
from toolchain.spec import SpecError


@converter("BatchNormalization")
def batch_normalization(c: Call) -> Any:
    """Beside a convolution as Relax's, for folding; else a factor and a summand."""
    from tvm import relax

    op = relax.op
    if c.get("training_mode", 0) or (len(c.node.output) > 1 and c.opset >= 14):
        raise SpecError("is in training mode; export for inference")
    x, gamma, beta, mean, variance = (c[i] for i in range(5))
    epsilon = c.get("epsilon", 1e-5)
    producer = (
        c.importer.builder.lookup_binding(x) if isinstance(x, relax.Var) else None
    )
    name = getattr(getattr(producer, "op", None), "name", "")
    rank = len(c.shape(0))
    if name == "relax.nn.conv2d":
        operands = (x, gamma, beta, mean, variance, 1, epsilon)
        norm = c.emit(op.nn.batch_norm(*operands, training=False))
        return relax.TupleGetItem(norm, 0)
    known = [constant_of(c.value(i)) for i in range(1, 5)]
    wide = (-1, *[1] * (rank - 2))
    if all(k is not None for k in known):
        g, b, m, v = (k.astype("float64") for k in known if k is not None)
        factor = g / np.sqrt(v + epsilon)
        summand = b - m * factor
        dtype = dtype_of(x)
        scaled = c.emit(op.multiply(x, const(factor.reshape(wide), dtype)))
        return op.add(scaled, const(summand.reshape(wide), dtype))
    shape = (c.shape(1)[0], *[1] * (rank - 2))
    root = c.emit(op.sqrt(c.emit(op.add(variance, const(epsilon, dtype_of(x))))))
    factor = c.emit(op.divide(gamma, root))
    centred = c.emit(op.subtract(x, c.emit(op.reshape(mean, shape))))
    scaled = c.emit(op.multiply(centred, c.emit(op.reshape(factor, shape))))
    return op.add(scaled, c.emit(op.reshape(beta, shape)))


@converter("LRN")
def local_response(c: Call) -> Any:
    """X / (bias + alpha / size sum x^2) ^ beta over a window of channels."""
    op, x, shape = relax_ops(), c[0], c.shape(0)
    size, dtype = c.get("size"), dtype_of(x)
    square = c.emit(op.multiply(x, x))
    before = (size - 1) // 2
    widths = [0, 0, before, size - 1 - before] + [0, 0] * (len(shape) - 2)
    padded = c.emit(op.nn.pad(square, widths))
    parts = [
        c.emit(op.strided_slice(padded, [1], [i], [i + shape[1]])) for i in range(size)
    ]
    total = reduce(lambda a, b: c.emit(op.add(a, b)), parts)
    scaled = c.emit(op.multiply(total, const(c.get("alpha", 1e-4) / size, dtype)))
    base = c.emit(op.add(scaled, const(c.get("bias", 1.0), dtype)))
    beta = c.get("beta", 0.75)
    root = c.emit(op.sqrt(base))
    if beta == 0.75:  # the usual one, without a power
        root = c.emit(op.multiply(root, c.emit(op.sqrt(root))))
    elif beta != 0.5:
        root = c.emit(op.power(base, const(beta, dtype)))
    return op.divide(x, root)


@converter("LpNormalization")
def lp_normalization(c: Call) -> Any:
    """X over its norm along an axis; 0 where that is 0."""
    op, x = relax_ops(), c[0]
    axis = c.get("axis", -1)
    if c.get("p", 2) == 1:
        norm = c.emit(op.sum(c.emit(op.abs(x)), axis, keepdims=True))
    else:
        square = c.emit(op.multiply(x, x))
        norm = c.emit(op.sqrt(c.emit(op.sum(square, axis, keepdims=True))))
    none = c.emit(op.equal(norm, const(0, dtype_of(x))))
    norm = c.emit(op.where(none, const(1, dtype_of(x)), norm))
    return op.divide(x, norm)


@converter("ConvTranspose")
def conv_transpose(c: Call) -> Any:
    """TVM's, with pads for output_shape, which it leaves out."""
    wanted = c.attributes.get("output_shape")
    if wanted:
        sizes, kernel = c.shape(0)[2:], c.shape(1)[2:]
        rank = len(sizes)
        ones = [1] * rank
        more = c.get("output_padding", [0] * rank)
        before, after, reach = [], [], []
        for n, k, s, d, p, size in zip(
            sizes,
            kernel,
            c.get("strides", ones),
            c.get("dilations", ones),
            more,
            list(wanted)[-rank:],
            strict=True,
        ):
            total = s * (n - 1) + p + (k - 1) * d + 1 - size
            reach.append(p + max(-total, 0))
            total = max(total, 0)
            half = total // 2
            upper = c.get("auto_pad", "NOTSET") == "SAME_UPPER"
            before.append(half if upper else total - half)
            after.append(total - half if upper else half)
        c.attributes["pads"] = before + after
        c.attributes["output_padding"] = reach
        c.attributes["auto_pad"] = "NOTSET"
    return c.importer.by_tvm(c)
