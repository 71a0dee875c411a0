"""Rules of normalizations."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


@rule("BatchNormalization")
def batch_normalization(c: Call) -> Sequence[Value]:
    """The library's; in training mode by the statistics of the batch."""
    epsilon = float(c.get("epsilon", 1e-5))
    x, scale, shift, mean, variance = (c[i] for i in range(5))
    if not c.get("training_mode", 0):
        if c.opset < 9 and not c.get("spatial", 1):
            raise SpecError("has spatial 0; export it with a newer opset")
        operands = (x, scale, shift, mean, variance)
        return [c.call("batch_normalization", *operands, epsilon=epsilon)]
    axes = [i for i in range(rank_of(x)) if i != 1]
    average = c.call("reduce_mean", x, axes=axes, keepdims=1)
    centred = c.call("sub", x, average)
    square = c.call("mul", centred, centred)
    spread = c.call("reduce_mean", square, axes=axes, keepdims=0)
    average = c.builder.reshape(average, [-1])
    momentum = float(c.get("momentum", 0.9))
    running = [
        c.call("add", c.call("mul", old, momentum), c.call("mul", new, 1 - momentum))
        for old, new in ((mean, average), (variance, spread))
    ]
    operands = (x, scale, shift, average, spread)
    return [c.call("batch_normalization", *operands, epsilon=epsilon), *running]


def row_shaped(c: Call, parameter: Value, x: Value, axis: int) -> Value:
    """A scale or bias in the shape of x from an axis on, as the library takes it."""
    count = -axis if axis < 0 else rank_of(x) - axis
    row = None if x.shape is None else x.shape[axis:]
    same = row is not None and None not in row and parameter.shape == row
    if same or (count == 1 and parameter.rank == 1 and parameter.shape != (1,)):
        return parameter
    shape = plain_numbers(c.builder.shape_of(x, axis))
    return c.call("expand", parameter, shape=shape)


@rule("LayerNormalization")
def layer_normalization(c: Call) -> Sequence[Value | None]:
    """The library's, and the statistics of rows where they are wanted."""
    x, axis, bias = c[0], c.get("axis", -1), c.optional(2)
    epsilon = float(c.get("epsilon", 1e-5))
    found = normalized(c, x, c[1], bias, axis, epsilon)
    if not (c.wants(1) or c.wants(2)):
        return [found]
    return [found, *statistics(c, x, axis, epsilon)]


def normalized(
    c: Call, x: Value, scale: Value, bias: Value | None, axis: int, epsilon: float
) -> Value:
    """Rows from an axis on, by the library's layer_normalization."""
    scale = row_shaped(c, scale, x, axis)
    bias = None if bias is None else row_shaped(c, bias, x, axis)
    return c.call("layer_normalization", x, scale, bias, axis=axis, epsilon=epsilon)


def statistics(c: Call, x: Value, axis: int, epsilon: float) -> list[Value]:
    """The mean of rows, and 1 over their deviation."""
    axes = [*range(axis, 0)] if axis < 0 else [*range(axis, rank_of(x))]
    mean = c.call("reduce_mean", x, axes=axes, keepdims=1)
    centred = c.call("sub", x, mean)
    square = c.call("mul", centred, centred)
    spread = c.call("reduce_mean", square, axes=axes, keepdims=1)
    root = c.call("sqrt", c.call("add", spread, epsilon))
    return [mean, c.call("reciprocal", root)]


@rule("RMSNormalization")
def rms_normalization(c: Call) -> Value:
    """Rows over their root mean square."""
    axis, epsilon = c.get("axis", -1), float(c.get("epsilon", 1e-5))
    scale = row_shaped(c, c[1], c[0], axis)
    return c.call("rms_normalization", c[0], scale, axis=axis, epsilon=epsilon)


@rule("InstanceNormalization")
def instance_normalization(c: Call) -> Value:
    """Each channel of each image by itself."""
    scale, bias = (c.builder.unsqueeze(c[i], [1]) for i in (1, 2))
    return _by_groups(c, c.builder.shape_of(c[0], 1, 2), scale, bias)


@rule("GroupNormalization")
def group_normalization(c: Call) -> Value:
    """Groups of channels of each image; a factor for each group up to opset 20."""
    scale, bias = (c.builder.unsqueeze(c[i], [1]) for i in (1, 2))
    groups = c.constant([c.get("num_groups")], "int64")
    if c.opset >= 21:
        return _by_groups(c, groups, scale, bias)
    return _by_groups(c, groups, scale, bias, parts=groups)


def _by_groups(
    c: Call, groups: Value, scale: Value, bias: Value, parts: Value | None = None
) -> Value:
    """Rows of [N, groups, the rest]; a factor for each channel, or each of parts."""
    x, shape = c[0], c.builder.shape_of(c[0])
    rows = c.builder.reshape(x, joined(c, size_at(c, x, 0), groups, -1), 1)
    ones = c.call(
        "expand", c.constant(1, "float32"), shape=plain_numbers(size_at(c, rows, 2))
    )
    epsilon = float(c.get("epsilon", 1e-5))
    found = c.call("layer_normalization", rows, ones, None, axis=-1, epsilon=epsilon)
    channels = size_at(c, x, 1) if parts is None else parts
    wide = c.builder.reshape(found, joined(c, size_at(c, x, 0), channels, -1), 1)
    moved = c.call("add", c.call("mul", wide, scale), bias)
    return c.builder.reshape(moved, plain_numbers(shape), 1)


@rule("LpNormalization")
def lp_normalization(c: Call) -> Value:
    """Give x over its norm along an axis; 0 where that is 0."""
    x, axis = c[0], c.get("axis", -1)
    if c.get("p", 2) == 1:
        norm = c.call("reduce_sum", c.call("abs", x), axes=[axis], keepdims=1)
    else:
        norm = c.call("reduce_l2", x, axes=[axis], keepdims=1)
    none = c.call("equal", norm, 0)
    return c.call("div", x, c.call("where", none, c.constant(1, x.dtype), norm))


@rule("MeanVarianceNormalization")
def mean_variance_normalization(c: Call) -> Value:
    """(x - mean) / (deviation + 1e-9)."""
    x, axes = c[0], c.get("axes", [0, 2, 3])
    mean = c.call("reduce_mean", x, axes=axes, keepdims=1)
    centred = c.call("sub", x, mean)
    square = c.call("mul", centred, centred)
    root = c.call("sqrt", c.call("reduce_mean", square, axes=axes, keepdims=1))
    return c.call("div", centred, c.call("add", root, 1e-9))
