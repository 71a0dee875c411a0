"""Rules of convolutions and pools, of products, and of normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.nodes.products import product
from toolchain.frontends.nodes.scope import Items
from toolchain.frontends.nodes.shapes import rank_of
from toolchain.frontends.primitives.calls import Primitive, primitive
from toolchain.frontends.primitives.elements import channels
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

_MODES = {0: "PAD", 1: "SAME", 2: "VALID"}
_FIRST = ("NCHW", "NCDHW", 0)  # channels before the plane; 0: NCHW by its number


@primitive("MatMul", "BatchMatMul")
def matmul(c: Primitive) -> Value:
    """A product of matrices, each transposed or not."""
    a, b = c[0], c[1]
    turned = [bool(c.known(i, n, 0)) for i, n in _TURNED]
    if any(turned) and rank_of(a) == rank_of(b) == 2 and a.dtype == "float32":
        return c.onnx("Gemm", a, b, transA=int(turned[0]), transB=int(turned[1]))
    a, b = (_turned(c, v) if t else v for v, t in zip((a, b), turned, strict=True))
    return product(c, a, b)


_TURNED = ((2, "transpose_a"), (3, "transpose_b"))


def _turned(c: Primitive, x: Value) -> Value:
    """With its last two axes exchanged."""
    if x.data is not None:
        return c.builder.constant(np.swapaxes(x.data, -1, -2))
    rank = rank_of(x)
    return c.call("transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


@primitive("MatMulExt")
def plain_matmul(c: Primitive) -> Value:
    """The matmul of numpy."""
    return product(c, c[0], c[1])


@primitive("Dense")
def dense(c: Primitive) -> Value:
    """Give x wᵀ + bias."""
    x, w, bias = c[0], c[1], c.optional(2)
    if rank_of(x) == 2 and x.dtype == "float32":
        return c.onnx("Gemm", x, w, bias, transB=1)
    found = product(c, x, _turned(c, w))
    return found if bias is None else c.call("add", found, bias)


@primitive("BiasAdd")
def bias_add(c: Primitive) -> Value:
    """A number for each channel."""
    said = c.option(2, "format", "NCHW")
    if said in ("NHWC", 1):
        return c.call("add", c[0], c[1])
    c.need("format", said, *_FIRST)
    return c.call("add", c[0], channels(c, c[1], rank_of(c[0])))


def _pads(c: Primitive, said: Any = None) -> dict[str, Any]:
    """Padding as ONNX has it. said: a pad_mode that is an input."""
    mode = c.get("pad_mode", "VALID") if said is None else said
    mode = _MODES.get(mode, str(mode).upper())
    c.need("pad_mode", mode, "VALID", "SAME", "PAD")
    if mode != "PAD":
        return {"auto_pad": "SAME_UPPER" if mode == "SAME" else mode}
    pairs = c.get("pad_list") or c.get("pad")
    if pairs is None:
        raise SpecError("has pad_mode PAD and no pad_list; export the model again")
    return {"pads": [*pairs[0::2], *pairs[1::2]]}


@primitive("Conv2D", "Conv3D")
def convolution(c: Primitive) -> Value:
    """A convolution without a bias."""
    c.need("format", c.get("format", "NCHW"), *_FIRST)
    rank = 3 if c.name == "Conv3D" else 2
    return c.onnx(
        *("Conv", c[0], c[1]),
        strides=c.numbers("stride", rank, 1),
        dilations=c.numbers("dilation", rank, 1),
        group=int(c.get("group", c.get("groups", 1))),
        **_pads(c),
    )


@primitive("Conv2DTranspose", "Conv2DBackpropInput")
def transposed_convolution(c: Primitive) -> Value:
    """The shape of the result is an input, from which output_padding follows."""
    c.need("format", c.get("format", "NCHW"), *_FIRST)
    x, w = c[0], c[1]
    if x.known is None or w.known is None:
        raise SpecError("needs all sizes of its input; give them by --shape")
    strides, dilations = c.numbers("stride", 2, 1), c.numbers("dilation", 2, 1)
    pairs = list(c.get("pad_list") or [0] * 4)
    wanted = list(c.known(2, "input_sizes"))[2:]
    extra = []
    for i, size in enumerate(wanted):
        reach = (x.known[2 + i] - 1) * strides[i] + (w.known[2 + i] - 1) * dilations[i]
        extra.append(size - (reach + 1 - sum(pairs[2 * i : 2 * i + 2])))
    return c.onnx(
        *("ConvTranspose", x, w),
        strides=strides,
        dilations=dilations,
        group=int(c.get("group", 1)),
        pads=[*pairs[0::2], *pairs[1::2]],
        output_padding=extra,
    )


@primitive("MaxPool", "AvgPool", "AvgPool3D")
def pool(c: Primitive) -> Value:
    """Windows; means leave padding out unless the node says otherwise."""
    c.need("format", c.get("format", "NCHW"), *_FIRST)
    c.need("data_format", c.option(4, "data_format", "NCHW"), *_FIRST)
    c.need("divisor_override", c.get("divisor_override", 0), 0)
    rank = 3 if c.name == "AvgPool3D" else 2
    for i, name in ((1, "kernel_size"), (2, "strides")):
        c.attributes[name] = c.known(i, name)
    given: dict[str, Any] = {"ceil_mode": int(c.get("ceil_mode", False))}
    if c.name != "MaxPool":
        given["count_include_pad"] = int(c.get("count_include_pad", False))
    return c.onnx(
        "MaxPool" if c.name == "MaxPool" else "AveragePool",
        c[0],
        kernel_shape=c.numbers("kernel_size", rank),
        strides=c.numbers("strides", rank),
        **_pads(c, c.known(3, "pad_mode")),
        **given,
    )


@primitive("MaxPool3DWithArgmax")
def deep_pool(c: Primitive) -> Value:
    """The largest of windows over volumes, without where they are."""
    pads = c.numbers("pads", 3)
    return Items(
        [
            c.onnx(
                *("MaxPool", c[0]),
                kernel_shape=c.numbers("ksize", 3),
                strides=c.numbers("strides", 3),
                dilations=c.numbers("dilation", 3),
                pads=pads + pads,
                ceil_mode=int(c.get("ceil_mode", False)),
            )
        ]
    )


@primitive("AdaptiveAvgPool2D")
def adaptive_pool(c: Primitive) -> Value:
    """Means of as many windows as the result has elements, which may overlap.

    Each axis by a product with a matrix of weights; where one window is all of it, by
    a mean.
    """
    x, said = c[0], c.known(1, "output_size")
    wanted = [said] * 2 if isinstance(said, int) else list(said)
    for axis, count in zip((-2, -1), wanted, strict=True):
        size = None if x.shape is None else x.shape[axis]
        if count in (-1, None) or count == size:
            continue
        if count == 1:
            x = c.call("reduce_mean", x, axes=[axis], keepdims=1)
            continue
        if not isinstance(size, int):
            raise SpecError("needs the sizes of the plane; give them by --shape")
        means = c.builder.constant(_means(size, count))
        if axis == -2:
            x = c.call("matmul", means, x)
        else:
            x = c.call("matmul", x, c.builder.constant(_means(size, count).T))
    return x


def _means(size: int, count: int) -> Any:
    """For each of `count` windows, one over its size at each element of it."""
    found = np.zeros((count, size), "float32")
    for i in range(count):
        first, end = i * size // count, -(-(i + 1) * size // count)
        found[i, first:end] = 1 / (end - first)
    return found


@primitive("BatchNorm")
def batch_norm(c: Primitive) -> Value:
    """By statistics that the file holds."""
    if c.known(5, "is_training", False):
        raise SpecError("trains; export after net.set_train(False)")
    epsilon = float(c.known(6, "epsilon", 1e-5))
    operands = [c[i] for i in range(5)]
    return Items([c.onnx("BatchNormalization", *operands, epsilon=epsilon)])


@primitive("LayerNorm")
def layer_norm(c: Primitive) -> Value:
    """Rows from an axis on, by their mean and deviation."""
    rank = rank_of(c[0])
    first = int(c.known(3, "begin_norm_axis", 1)) % rank
    if int(c.known(4, "begin_params_axis", 1)) % rank != first:
        raise SpecError("has a begin_params_axis that is not its begin_norm_axis")
    epsilon = float(c.known(5, "epsilon", 1e-7))
    operands = (c[0], c[1], c[2])
    return Items([c.onnx("LayerNormalization", *operands, axis=first, epsilon=epsilon)])


@primitive("RmsNorm")
def rms_norm(c: Primitive) -> Value:
    """Rows over their root mean square; the scale says over how many axes."""
    epsilon = float(c.known(2, "epsilon", 1e-6))
    axis = -rank_of(c[1], "its scale")
    return Items([c.onnx("RMSNormalization", c[0], c[1], axis=axis, epsilon=epsilon)])


@primitive("GroupNorm")
def group_norm(c: Primitive) -> Value:
    """Groups of channels of each image."""
    groups, epsilon = int(c.known(1, "num_groups")), float(c.known(4, "eps", 1e-5))
    operands = (c[0], c[2], c[3])
    given: dict[str, Any] = {"num_groups": groups, "epsilon": epsilon}
    return Items([c.onnx("GroupNormalization", *operands, **given)])


@primitive("LRN")
def local_response(c: Primitive) -> Value:
    """By the squares of the channels nearby."""
    c.need("norm_region", c.get("norm_region", "ACROSS_CHANNELS"), "ACROSS_CHANNELS")
    size = 2 * int(c.get("depth_radius", 5)) + 1
    return c.onnx(
        *("LRN", c[0]),
        size=size,
        bias=float(c.get("bias", 1.0)),
        alpha=float(c.get("alpha", 1.0)) * size,
        beta=float(c.get("beta", 0.5)),
    )
