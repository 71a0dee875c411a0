"""MindSpore's primitives as Relax: one rule each.

A rule takes a Call and gives a Relax expression, or a list of them for a tuple. What
a primitive takes besides tensors is an input in newer files and an attribute in older
ones; `Call.option` looks in both places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    cast_to,
    celu_of,
    converters,
    elu_of,
    power_of,
    softplus_of,
)
from toolchain.frontends.library import has, library_call


class UnsupportedError(Exception):
    """What a node asks for has no rule; the text says what, and what to do."""


# The numbers of MindSpore's types, as Cast names them.
TYPES = {
    30: "bool",
    32: "int8",
    33: "int16",
    34: "int32",
    35: "int64",
    37: "uint8",
    38: "uint16",
    39: "uint32",
    40: "uint64",
    42: "float16",
    43: "float32",
    44: "float64",
}


@dataclass
class Call:
    """A node: inputs are Relax expressions, numpy arrays, Python's values or lists."""

    kind: str
    inputs: list[Any]
    attributes: dict[str, Any]
    builder: Any

    def emit(self, expression: Any) -> Any:
        """The expression with a known shape."""
        return self.builder.emit(expression)

    def tensor(self, index: int = 0, dtype: str | None = None) -> Any:
        """An input as a tensor; a number takes the dtype, where one is given."""
        from tvm import relax

        value = self.inputs[index]
        if isinstance(value, (bool, int, float)):
            value = np.array(value, dtype or np.result_type(value))
        if isinstance(value, list):
            value = np.array(value, dtype or "int64")
        if isinstance(value, np.ndarray):
            return relax.const(value, str(value.dtype))
        return value

    def option(self, index: int, name: str, default: Any = None) -> Any:
        """A value that is known now: input `index`, or else an attribute."""
        if index >= len(self.inputs):
            return self.attributes.get(name, default)
        value = self.inputs[index]
        if hasattr(value, "data") and hasattr(value.data, "numpy"):
            value = value.data.numpy()
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if value is not None and not isinstance(value, (bool, int, float, str, list)):
            raise UnsupportedError(
                f"{name} of {self.kind} is computed; make it a constant"
            )
        return default if value is None else value

    def need(self, name: str, *wanted: Any) -> None:
        """Raise unless an attribute is absent or one of these."""
        value = self.attributes.get(name, wanted[0])
        if value not in wanted:
            raise UnsupportedError(
                f"{name} {value!r} of {self.kind} is unsupported; "
                f"use {' or '.join(map(repr, wanted))}"
            )


Rule = Callable[[Call], Any]


def shape(x: Any) -> list[int]:
    """Sizes of a tensor."""
    sizes: list[int] = [int(n) for n in x.ty.shape]
    return sizes


def _dtype(x: Any) -> str:
    return str(x.ty.dtype)


def _axes(value: Any, rank: int) -> list[int]:
    """Axes counted from 0; none stand for all."""
    value = [value] if isinstance(value, int) else list(value or range(rank))
    return [a % rank for a in value]


def _const(value: float, like: Any) -> Any:
    from tvm import relax

    return relax.const(value, _dtype(like))


def _op(name: str) -> Any:
    from tvm import relax

    found = relax.op
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _unary(name: str) -> Rule:
    return lambda c: _op(name)(c.tensor())


def _binary(name: str) -> Rule:
    def rule(c: Call) -> Any:
        given = [v for v in c.inputs[:2] if hasattr(v, "ty")]
        dtype = _dtype(given[0]) if given else None
        return _op(name)(c.tensor(0, dtype), c.tensor(1, dtype))

    return rule


def _power(c: Call) -> Any:
    given = [v for v in c.inputs[:2] if hasattr(v, "ty")]
    dtype = _dtype(given[0]) if given else None
    return power_of(c.emit, c.tensor(0, dtype), c.tensor(1, dtype))


def _formula(build: Callable[..., Any]) -> Rule:
    """An elementwise formula over the first input: build(relax.op, x, number, call).

    number(v) is a constant of x's dtype.
    """

    def rule(c: Call) -> Any:
        from tvm import relax

        x = c.tensor()
        return build(relax.op, x, partial(_const, like=x), c)

    return rule


def _reduce(name: str, keep: int = 2) -> Rule:
    """keep: place of keep_dims among the inputs."""

    def rule(c: Call) -> Any:
        x = c.tensor()
        axes = _axes(c.option(1, "axis"), len(shape(x)))
        kept = bool(c.option(keep, "keep_dims", False))
        return _op(name)(x, axes, kept)

    return rule


def _reduce_bool(name: str) -> Rule:
    def rule(c: Call) -> Any:
        from tvm import relax

        inner = Call(
            c.kind,
            [c.emit(relax.op.astype(c.tensor(), "int32")), *c.inputs[1:]],
            c.attributes,
            c.builder,
        )
        return relax.op.astype(c.emit(_reduce(name)(inner)), "bool")

    return rule


def _reduce_std(c: Call) -> Any:
    from tvm import relax

    x, o = c.tensor(), relax.op
    axes = _axes(c.option(1, "axis"), len(shape(x)))
    unbiased, kept = (bool(c.option(2, "unbiased", True)), c.option(3, "keep_dims"))
    count = math.prod(shape(x)[a] for a in axes)
    variance = c.emit(o.variance(x, axes, bool(kept)))
    if unbiased:
        variance = c.emit(o.multiply(variance, _const(count / (count - 1), x)))
    return [c.emit(o.sqrt(variance)), c.emit(o.mean(x, axes, bool(kept)))]


def _arg(name: str) -> Rule:
    def rule(c: Call) -> Any:
        from tvm import relax

        found = c.emit(_op(name)(c.tensor(), int(c.option(1, "axis", -1)), False))
        return relax.op.astype(found, _type(c.option(2, "output_type", 34)))

    return rule


def _type(number: int) -> str:
    if number not in TYPES:
        raise UnsupportedError(
            f"type {number} is unsupported; use {', '.join(TYPES.values())}"
        )
    return TYPES[number]


def _matmul(c: Call) -> Any:
    from tvm import relax

    def swapped(x: Any, swap: Any) -> Any:
        if not swap:
            return x
        axes = list(range(len(shape(x))))
        axes[-2:] = axes[-1:-3:-1]
        return c.emit(relax.op.permute_dims(x, axes))

    a = swapped(c.tensor(0), c.option(2, "transpose_a", False))
    b = swapped(c.tensor(1), c.option(3, "transpose_b", False))
    return relax.op.matmul(a, b)


def _matmul_ext(c: Call) -> Any:
    from tvm import relax

    return relax.op.matmul(c.tensor(0), c.tensor(1))


def _dense(c: Call) -> Any:
    from tvm import relax

    o = relax.op
    product = c.emit(o.matmul(c.tensor(0), c.emit(o.permute_dims(c.tensor(1)))))
    return product if c.option(2, "bias") is None else o.add(product, c.tensor(2))


def _channels(c: Call, x: Any, v: Any, axis: int = 1) -> Any:
    """A vector that is added to or multiplied with the channels of x."""
    from tvm import relax

    return c.emit(relax.op.reshape(v, [-1] + [1] * (len(shape(x)) - axis - 1)))


def _bias_add(c: Call) -> Any:
    from tvm import relax

    c.need("format", "NCHW", "NCDHW")
    x = c.tensor()
    return relax.op.add(x, _channels(c, x, c.tensor(1)))


_MODES = {0: "PAD", 1: "SAME", 2: "VALID"}


def _pads(
    c: Call, sizes: list[int], window: list[int], strides: list[int]
) -> list[int]:
    """Padding [before of each axis, after of each axis] of a window that may hang over.

    window: with dilation.
    """
    mode = c.attributes.get("pad_mode", "VALID")
    mode = _MODES.get(mode, str(mode)).upper()
    if mode == "VALID":
        return [0] * (2 * len(sizes))
    if mode == "PAD":
        pairs: list[int] = list(c.attributes.get("pad_list") or c.attributes["pad"])
        return pairs[0::2] + pairs[1::2]
    if mode != "SAME":
        raise UnsupportedError(f"pad_mode {mode!r} of {c.kind} is unsupported")
    total = [
        max((-(-n // s) - 1) * s + w - n, 0)
        for n, w, s in zip(sizes, window, strides, strict=True)
    ]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


def _spatial(value: Any, rank: int) -> list[int]:
    """Numbers of the last `rank` axes."""
    value = [value] * rank if isinstance(value, int) else list(value)
    numbers: list[int] = value[-rank:]
    return numbers


def _conv(name: str, rank: int) -> Rule:
    def rule(c: Call) -> Any:
        c.need("format", "NCHW", "NCDHW")
        x, w = c.tensor(0), c.tensor(1)
        strides = _spatial(c.attributes.get("stride", 1), rank)
        dilation = _spatial(c.attributes.get("dilation", 1), rank)
        window = [(k - 1) * d + 1 for k, d in zip(shape(w)[2:], dilation, strict=True)]
        pads = _pads(c, shape(x)[2:], window, strides)
        groups = int(c.attributes.get("group", c.attributes.get("groups", 1)))
        return _op(name)(
            x, w, strides=strides, padding=pads, dilation=dilation, groups=groups
        )

    return rule


def _conv_transpose(c: Call) -> Any:
    """The shape of the result is an input, from which output_padding follows."""
    from tvm import relax

    c.need("format", "NCHW")
    x, w = c.tensor(0), c.tensor(1)
    strides = _spatial(c.attributes.get("stride", 1), 2)
    dilation = _spatial(c.attributes.get("dilation", 1), 2)
    pairs = list(c.attributes["pad_list"])
    top, bottom, left, right = pairs
    wanted = list(c.option(2, "input_sizes"))[2:]
    extra = []
    for n, k, s, d, low, high, size in zip(
        shape(x)[2:],
        shape(w)[2:],
        strides,
        dilation,
        (top, left),
        (bottom, right),
        wanted,
        strict=True,
    ):
        extra.append(size - ((n - 1) * s + (k - 1) * d + 1 - low - high))
    return relax.op.nn.conv2d_transpose(
        x,
        w,
        strides=strides,
        padding=[top, left, bottom, right],
        output_padding=extra,
        dilation=dilation,
        groups=int(c.attributes.get("group", 1)),
    )


def _pool(name: str, rank: int) -> Rule:
    def rule(c: Call) -> Any:
        c.need("format", "NCHW", "NCDHW")
        x = c.tensor()
        if len(c.inputs) > 1:  # AvgPool: kernel_size, strides, pad_mode, data_format
            names = ("kernel_size", "strides", "pad_mode", "data_format")
            given = {n: c.option(i + 1, n) for i, n in enumerate(names)}
            c = Call(c.kind, c.inputs[:1], {**c.attributes, **given}, c.builder)
            c.need("data_format", 0, "NCHW")
        c.need("divisor_override", 0)
        size = _spatial(c.attributes["kernel_size"], rank)
        strides = _spatial(c.attributes["strides"], rank)
        pads = _pads(c, shape(x)[2:], size, strides)
        options: dict[str, Any] = {}
        if "avg" in name:
            options["count_include_pad"] = bool(
                c.attributes.get("count_include_pad", False)
            )
        ceil = bool(c.attributes.get("ceil_mode", False))
        return _op(name)(x, size, strides, pads, ceil_mode=ceil, **options)

    return rule


def _max_pool_3d(c: Call) -> Any:
    from tvm import relax

    rank = 3
    a = c.attributes
    pads = _spatial(a["pads"], rank)
    pooled = relax.op.nn.max_pool3d(
        c.tensor(),
        _spatial(a["ksize"], rank),
        _spatial(a["strides"], rank),
        pads + pads,
        _spatial(a["dilation"], rank),
        bool(a["ceil_mode"]),
    )
    return [c.emit(pooled), None]


def _adaptive(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    sizes = c.option(1, "output_size")
    sizes = [sizes] * 2 if isinstance(sizes, int) else sizes
    wanted = [
        n if s in (-1, None) else s for s, n in zip(sizes, shape(x)[2:], strict=True)
    ]
    return relax.op.nn.adaptive_avg_pool2d(x, wanted)


def _batch_norm(c: Call) -> Any:
    from tvm import relax

    if c.option(5, "is_training", False):
        raise UnsupportedError("BatchNorm trains; export after net.set_train(False)")
    x, *rest = (c.tensor(i) for i in range(5))
    epsilon = float(c.option(6, "epsilon", 1e-5))
    found = c.emit(
        relax.op.nn.batch_norm(x, *rest, axis=1, epsilon=epsilon, training=False)
    )
    return [c.emit(relax.TupleGetItem(found, 0)), None, None, None, None]


def _layer_norm(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    rank = len(shape(x))
    first = int(c.option(3, "begin_norm_axis", 1)) % rank
    if int(c.option(4, "begin_params_axis", 1)) % rank != first:
        raise UnsupportedError("LayerNorm: begin_params_axis is not begin_norm_axis")
    epsilon = float(c.option(5, "epsilon", 1e-7))
    axes = list(range(first, rank))
    norm = relax.op.nn.layer_norm(x, c.tensor(1), c.tensor(2), axes, epsilon)
    return [c.emit(norm), None, None]


def _group_norm(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    groups, epsilon = int(c.option(1, "num_groups")), float(c.option(4, "eps", 1e-5))
    axes = list(range(2, len(shape(x))))
    norm = relax.op.nn.group_norm(x, c.tensor(2), c.tensor(3), groups, 1, axes, epsilon)
    return [c.emit(norm), None, None]


def _l2_normalize(o: Any, x: Any, number: Any, c: Call) -> Any:
    axes = _axes(c.attributes.get("axis"), len(shape(x)))
    total = o.sum(o.multiply(x, x), axes, True)
    epsilon = number(c.attributes.get("epsilon", 1e-4))
    return o.multiply(x, o.rsqrt(o.maximum(total, epsilon)))


def _softmax(name: str) -> Rule:
    def rule(c: Call) -> Any:
        axis = c.option(1, "axis", -1)
        if isinstance(axis, list):
            if len(axis) != 1:
                raise UnsupportedError(f"{c.kind} over several axes is unsupported")
            (axis,) = axis
        return _op(name)(c.tensor(), axis)

    return rule


def _permute(c: Call) -> Any:
    from tvm import relax

    return relax.op.permute_dims(c.tensor(), c.option(1, "perm"))


def _reshape(c: Call) -> Any:
    from tvm import relax

    return relax.op.reshape(c.tensor(), c.option(1, "shape"))


def _flatten(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    return relax.op.reshape(x, [shape(x)[0], math.prod(shape(x)[1:])])


def _squeeze(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    axes = c.option(1, "axis")
    axes = [axes] if isinstance(axes, int) else axes
    return relax.op.squeeze(x, axes or [i for i, n in enumerate(shape(x)) if n == 1])


def _tensors(c: Call) -> list[Any]:
    """The tensors of a tuple, or of separate inputs."""
    values = c.inputs[0] if isinstance(c.inputs[0], list) else c.inputs
    return [Call(c.kind, [v], {}, c.builder).tensor() for v in values]


def _concat(c: Call) -> Any:
    from tvm import relax

    packed = isinstance(c.inputs[0], list)
    axis = c.option(1, "axis", 0) if packed else c.attributes.get("axis", 0)
    return relax.op.concat(_tensors(c), int(axis))


def _stack(c: Call) -> Any:
    from tvm import relax

    return relax.op.stack(_tensors(c), int(c.attributes.get("axis", 0)))


def _split(c: Call) -> Any:
    from tvm import relax

    axis, count = int(c.option(1, "axis", 0)), int(c.option(2, "output_num", 1))
    found = c.emit(relax.op.split(c.tensor(), count, axis))
    if count == 1:
        return [c.tensor()]
    return [c.emit(relax.TupleGetItem(found, i)) for i in range(count)]


def _unstack(c: Call) -> Any:
    from tvm import relax

    x, axis = c.tensor(), int(c.attributes.get("axis", 0))
    axis %= len(shape(x))
    return [
        c.emit(relax.op.squeeze(c.emit(_cut(x, {axis: (i, i + 1, 1)})), [axis]))
        for i in range(shape(x)[axis])
    ]


def _cut(x: Any, parts: dict[int, tuple[int, int, int]]) -> Any:
    """A slice: axis -> begin, end, stride."""
    from tvm import relax

    begin, end, strides = (list(v) for v in zip(*parts.values(), strict=True))
    return relax.op.strided_slice(x, list(parts), begin, end, strides)


def _slice(c: Call) -> Any:
    begin, size = c.option(1, "begin"), c.option(2, "size")
    x = c.tensor()
    ends = [
        n if s == -1 else b + s for b, s, n in zip(begin, size, shape(x), strict=True)
    ]
    return _cut(
        x, {i: (b, e, 1) for i, (b, e) in enumerate(zip(begin, ends, strict=True))}
    )


def _strided_slice(c: Call) -> Any:
    """NumPy's slices; bits of the masks say which of them leave a bound open."""
    from tvm import relax

    x = c.tensor()
    sizes = shape(x)
    begin, end, stride = (c.option(i, "begin") for i in (1, 2, 3))
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    masks = [int(c.option(i + 4, f"{name}_mask", 0)) for i, name in enumerate(names)]
    open_begin, open_end, ellipsis, new_axis, shrink = masks
    if ellipsis or new_axis:
        raise UnsupportedError("StridedSlice with ellipsis or new_axis is unsupported")
    parts, gone = {}, []
    for i, (low, high, step) in enumerate(zip(begin, end, stride, strict=True)):
        bit = 1 << i
        if shrink & bit:
            low = 0 if open_begin & bit else low % sizes[i]
            parts[i] = (low, low + 1, 1)
            gone.append(i)
            continue
        bounds = slice(
            None if open_begin & bit else low, None if open_end & bit else high, step
        ).indices(sizes[i])
        if step < 0:
            raise UnsupportedError("StridedSlice with a negative stride is unsupported")
        parts[i] = (bounds[0], max(bounds[1], bounds[0]), step)
    cut = c.emit(_cut(x, parts))
    return relax.op.squeeze(cut, gone) if gone else cut


def _gather(c: Call) -> Any:
    """Indices past the end are errors in MindSpore; here they are clamped."""
    from tvm import relax

    if int(c.option(3, "batch_dims", 0)):
        raise UnsupportedError("Gather with batch_dims is unsupported")
    axis = int(c.option(2, "axis", 0))
    return relax.op.take(c.tensor(0), c.tensor(1), axis, mode="clip")


def _gather_d(c: Call) -> Any:
    from tvm import relax

    return relax.op.gather_elements(c.tensor(0), c.tensor(2), int(c.option(1, "dim")))


def _gather_nd(c: Call) -> Any:
    from tvm import relax

    index = c.emit(relax.op.astype(c.tensor(1), "int64"))
    return relax.op.gather_nd(c.tensor(0), index)


def _one_hot(c: Call) -> Any:
    from tvm import relax, tirx

    dtype = str(c.inputs[2].dtype)
    on, off = (tirx.const(c.option(i, "on_value"), dtype) for i in (2, 3))
    axis = int(c.option(4, "axis", -1))
    return relax.op.one_hot(c.tensor(), on, off, int(c.option(1, "depth")), axis)


def _select(c: Call) -> Any:
    from tvm import relax

    return relax.op.where(c.tensor(0), c.tensor(1), c.tensor(2))


def _masked_fill(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    return relax.op.where(c.tensor(1), c.tensor(2, _dtype(x)), x)


def _cast(c: Call) -> Any:
    number = c.option(1, "dst_type")
    return cast_to(c.emit, c.tensor(), _type(number))


def _clip(c: Call) -> Any:
    from tvm import relax

    low, high = c.option(1, "min", -math.inf), c.option(2, "max", math.inf)
    return relax.op.clip(c.tensor(), low, high)


def _tile(c: Call) -> Any:
    from tvm import relax

    return relax.op.tile(c.tensor(), c.option(1, "multiples"))


def _broadcast_to(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    wanted = list(c.option(1, "shape"))
    old = [1] * (len(wanted) - len(shape(x))) + shape(x)
    wanted = [n if w == -1 else w for w, n in zip(wanted, old, strict=True)]
    return relax.op.broadcast_to(x, wanted)


def _expand_dims(c: Call) -> Any:
    from tvm import relax

    return relax.op.expand_dims(c.tensor(), c.option(1, "axis"))


def _pad(c: Call) -> Any:
    """Pads: pairs, first axis first; PadV3 has plain numbers, last axis first."""
    from tvm import relax

    x = c.tensor()
    rank = len(shape(x))
    value = 0.0
    if c.kind == "PadV3":
        flat = list(c.option(1, "paddings"))
        if not c.attributes.get("paddings_contiguous", True):
            raise UnsupportedError(
                "PadV3 with paddings_contiguous=False is unsupported"
            )
        pairs = [flat[i : i + 2] for i in range(0, len(flat), 2)][::-1]
        pairs = [[0, 0]] * (rank - len(pairs)) + pairs
        value = float(np.ravel(c.option(2, "constant_value", 0.0))[0])
    else:
        pairs = c.option(1, "paddings")
    mode = str(c.attributes.get("mode", "constant")).lower()
    if mode not in ("constant", "reflect", "edge"):
        raise UnsupportedError(f"mode {mode!r} of {c.kind} is unsupported")
    widths = [int(n) for pair in pairs for n in pair]
    if mode == "edge":
        return _pad_edge(c, x, pairs)
    return relax.op.nn.pad(x, widths, mode, value)


def _pad_edge(c: Call, x: Any, pairs: list[Any]) -> Any:
    from tvm import relax

    for axis, (low, high) in enumerate(pairs):
        if low or high:
            index = np.clip(
                np.arange(-low, shape(x)[axis] + high), 0, shape(x)[axis] - 1
            )
            x = c.emit(relax.op.take(x, relax.const(index, "int64"), axis))
    return x


def _resize(method: str) -> Rule:
    def rule(c: Call) -> Any:
        from tvm import relax

        corners, half = (bool(c.option(i, "align_corners")) for i in (2, 3))
        places = "align_corners" if corners else "half_pixel" if half else "asymmetric"
        rounding = "round" if corners else "floor"
        return relax.op.image.resize2d(
            c.tensor(),
            [int(n) for n in c.option(1, "size")],
            layout="NCHW",
            method=method,
            coordinate_transformation_mode=places,
            rounding_method=rounding if method == "nearest_neighbor" else "",
        )

    return rule


def _blocks(c: Call) -> Any:
    """DepthToSpace, and SpaceToDepth, its inverse; the block comes before the depth."""
    from tvm import relax

    c.need("format", "NCHW")
    o, x, b = relax.op, c.tensor(), int(c.attributes["block_size"])
    n, d, h, w = shape(x)
    if c.kind == "DepthToSpace":
        x = c.emit(o.reshape(x, [n, b, b, d // (b * b), h, w]))
        x = c.emit(o.permute_dims(x, [0, 3, 4, 1, 5, 2]))
        return o.reshape(x, [n, d // (b * b), h * b, w * b])
    x = c.emit(o.reshape(x, [n, d, h // b, b, w // b, b]))
    x = c.emit(o.permute_dims(x, [0, 3, 5, 1, 2, 4]))
    return o.reshape(x, [n, d * b * b, h // b, w // b])


def _triangle(name: str) -> Rule:
    return lambda c: _op(name)(c.tensor(), int(c.option(1, "diagonal", 0)))


def _cumsum(c: Call) -> Any:
    x = c.tensor()
    if not has("cum_sum", _dtype(x)):
        raise UnsupportedError(f"CumSum of {_dtype(x)} is unsupported")
    axis = int(c.option(1, "axis")) % len(shape(x))
    given = {n: int(c.option(i, n, 0)) for i, n in ((2, "exclusive"), (3, "reverse"))}
    return library_call("cum_sum", [x], shape(x), _dtype(x), axis=axis, **given)


class _AsOnnx:
    """A call as the converter of an ONNX operator of one tensor takes it."""

    def __init__(self, call: Call, kind: str) -> None:
        self.call, self.emit = call, call.emit
        self.node = SimpleNamespace(op_type=kind)

    def __getitem__(self, index: int) -> Any:
        return self.call.tensor(index)


def _by_onnx(kind: str) -> Rule:
    """The formula of ONNX's operator of that name."""

    def rule(c: Call) -> Any:
        given: Any = _AsOnnx(c, kind)
        return converters()["", kind](given)

    return rule


def _flip(c: Call) -> Any:
    from tvm import relax

    x = c.tensor()
    for axis in _axes(c.option(1, "axis"), len(shape(x))):
        x = c.emit(relax.op.flip(x, axis))
    return x


def _prelu(c: Call) -> Any:
    from tvm import relax

    o, x, slope = relax.op, c.tensor(), c.tensor(1)
    if shape(slope) != [1]:
        slope = _channels(c, x, slope)
    below = o.multiply(o.minimum(x, _const(0.0, x)), slope)
    return o.add(o.maximum(x, _const(0.0, x)), below)


def _elu(o: Any, x: Any, number: Any, c: Call) -> Any:
    return elu_of(c.emit, x, float(c.option(1, "alpha", 1.0)))


def _celu(o: Any, x: Any, number: Any, c: Call) -> Any:
    return celu_of(c.emit, x, float(c.option(1, "alpha", 1.0)))


def _selu(o: Any, x: Any, number: Any, c: Call) -> Any:
    below = elu_of(c.emit, x, 1.67326324)
    return o.multiply(below, number(1.05070098))


def _expm1(o: Any, x: Any, number: Any, c: Call) -> Any:
    """By Elu below 0; above, exp(x) - 1 is -(exp(-x) - 1) exp(x)."""
    below = elu_of(c.emit, c.emit(o.negative(c.emit(o.abs(x)))), 1.0)
    above = c.emit(o.negative(c.emit(o.multiply(below, c.emit(o.exp(x))))))
    return o.where(c.emit(o.greater(x, number(0.0))), above, below)


def _hard_swish(o: Any, x: Any, number: Any, c: Call) -> Any:
    if has("hard_swish", _dtype(x)):
        return library_call("hard_swish", [x], shape(x), _dtype(x))
    return o.multiply(x, _sixth(o, x, number))


def _gelu(o: Any, x: Any, _: Any, c: Call) -> Any:
    return o.nn.gelu_tanh(x)


def _sixth(o: Any, x: Any, number: Any) -> Any:
    """Clip x + 3 to 0..6, over 6."""
    clipped = o.clip(o.add(x, number(3.0)), 0, 6)
    return o.multiply(clipped, number(1 / 6))


def _leaky(c: Call) -> Any:
    from tvm import relax

    return relax.op.nn.leakyrelu(c.tensor(), float(c.option(1, "negative_slope", 0.01)))


_UNARY = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "IsFinite": "isfinite",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "Log": "log",
    "LogicalNot": "logical_not",
    "Neg": "negative",
    "OnesLike": "ones_like",
    "ReLU": "nn.relu",
    "ReLU6": "nn.relu6",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "SiLU": "nn.silu",
    "Sin": "sin",
    "Sqrt": "sqrt",
    "Square": "square",
    "Tanh": "tanh",
    "Trunc": "trunc",
    "ZerosLike": "zeros_like",
}
# What WebAssembly has no instruction for, by the formulas of ONNX's operators.
_AS_ONNX = {
    "ACos": "Acos",
    **{
        n: n for n in ("Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan")
    },
}
_BINARY = {
    "Add": "add",
    "Adds": "add",
    "Sub": "subtract",
    "Subs": "subtract",
    "Mul": "multiply",
    "Muls": "multiply",
    "Div": "divide",
    "Divs": "divide",
    "RealDiv": "divide",
    "FloorDiv": "floor_divide",
    "FloorMod": "floor_mod",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "LogicalXor": "logical_xor",
}
_REDUCTIONS = {
    "ReduceSum": "sum",
    "SumExt": "sum",
    "ReduceMean": "mean",
    "MeanExt": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ProdExt": "prod",
}

# By primitive; the table in docs/mindir.md is held to these keys by a test.
RULES: dict[str, Rule] = {
    **{kind: _unary(name) for kind, name in _UNARY.items()},
    **{kind: _by_onnx(name) for kind, name in _AS_ONNX.items()},
    **{kind: _binary(name) for kind, name in _BINARY.items()},
    **{kind: _reduce(name) for kind, name in _REDUCTIONS.items()},
    "Pow": _power,
    "ReduceAll": _reduce_bool("min"),
    "ReduceAny": _reduce_bool("max"),
    "ReduceStd": _reduce_std,
    "Argmax": _arg("argmax"),
    "Argmin": _arg("argmin"),
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "MatMulExt": _matmul_ext,
    "Dense": _dense,
    "BiasAdd": _bias_add,
    "Conv2D": _conv("nn.conv2d", 2),
    "Conv3D": _conv("nn.conv3d", 3),
    "Conv2DTranspose": _conv_transpose,
    "MaxPool": _pool("nn.max_pool2d", 2),
    "AvgPool": _pool("nn.avg_pool2d", 2),
    "AvgPool3D": _pool("nn.avg_pool3d", 3),
    "MaxPool3DWithArgmax": _max_pool_3d,
    "AdaptiveAvgPool2D": _adaptive,
    "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "L2Normalize": _formula(_l2_normalize),
    "Softmax": _softmax("nn.softmax"),
    "LogSoftmax": _softmax("nn.log_softmax"),
    "Transpose": _permute,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Concat": _concat,
    "Stack": _stack,
    "Split": _split,
    "Unstack": _unstack,
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "Gather": _gather,
    "GatherD": _gather_d,
    "GatherNd": _gather_nd,
    "OneHot": _one_hot,
    "Select": _select,
    "MaskedFill": _masked_fill,
    "Cast": _cast,
    "ClampScalar": _clip,
    "Tile": _tile,
    "BroadcastTo": _broadcast_to,
    "Pad": _pad,
    "PadV3": _pad,
    "MirrorPad": _pad,
    "ResizeBilinearV2": _resize("linear"),
    "ResizeNearestNeighborV2": _resize("nearest_neighbor"),
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
    "Triu": _triangle("triu"),
    "Tril": _triangle("tril"),
    "CumSum": _cumsum,
    "ReverseV2": _flip,
    "PReLU": _prelu,
    "LeakyReLUExt": _leaky,
    "Elu": _formula(_elu),
    "CeLU": _formula(_celu),
    "GeLU": _formula(_gelu),
    "SeLU": _formula(_selu),
    "HSigmoid": _formula(lambda o, x, number, c: _sixth(o, x, number)),
    "HSwish": _formula(_hard_swish),
    "Mish": _formula(
        lambda o, x, number, c: o.multiply(x, o.tanh(softplus_of(c.emit, x)))
    ),
    "Softplus": _formula(lambda o, x, number, c: softplus_of(c.emit, x)),
    "Softsign": _formula(
        lambda o, x, number, c: o.divide(x, o.add(number(1.0), o.abs(x)))
    ),
    "Reciprocal": _formula(lambda o, x, number, c: o.divide(number(1.0), x)),
    "Log1p": _formula(lambda o, x, number, c: o.log(o.add(number(1.0), x))),
    "Expm1": _formula(_expm1),
    "Erfc": _formula(lambda o, x, number, c: o.subtract(number(1.0), o.erf(x))),
    "Addcmul": _formula(
        lambda o, x, number, c: o.add(
            x, o.multiply(c.tensor(3), o.multiply(c.tensor(1), c.tensor(2)))
        )
    ),
    "Lerp": _formula(
        lambda o, x, number, c: o.add(
            x, o.multiply(c.tensor(2), o.subtract(c.tensor(1), x))
        )
    ),
}
