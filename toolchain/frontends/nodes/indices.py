"""Rules of operators at indices, and of ranges of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.frontends.nodes.automatic import automatic
from toolchain.frontends.nodes.rules import (
    Call,
    dtype_of_number,
    inner,
    plain_numbers,
    rule,
)
from toolchain.frontends.nodes.shapes import numbers, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


@rule("Range")
def number_range(c: Call) -> Value:
    """start, start + delta, ... before limit."""
    delta = c[2].data
    if delta is not None and not delta.any():
        raise SpecError("its delta is 0, so that it never ends; give another one")
    names = ("start", "limit", "delta")
    given: dict[str, Any] = {n: plain_numbers(c[i]) for i, n in enumerate(names)}
    dtype = c[0].dtype
    name = "range_of_floats" if dtype == "float32" else "range"
    return c.call(name, dtypes=(dtype,), **given)


@rule("EyeLike")
def eye_like(c: Call) -> Value:
    """Ones on a diagonal."""
    number = c.get("dtype")
    to = inner(dtype_of_number(number)) if number else c[0].dtype
    return c.call("eye_like", c[0], dtypes=(c[0].dtype, to), k=c.get("k", 0) or 0)


@rule("OneHot")
def one_hot(c: Call) -> Value:
    """values[1] where the place along the axis is the index, else values[0]."""
    indices = c[0] if c[0].dtype == "int32" else c.cast(c[0], "int64")
    depth = plain_numbers(c.builder.reshape(c.cast(c[1], "int64"), []))
    return c.call("one_hot", indices, c[2], depth=depth, axis=c.get("axis", -1))


@rule("Scatter")
def scatter(c: Call) -> Value:
    """ScatterElements, as it was called."""
    return c.call("scatter_elements", c[0], c[1], c[2], axis=c.get("axis", 0))


@rule("GridSample")
def grid_sample(c: Call) -> Value:
    """Images at places."""
    names = {"bilinear": "linear", "bicubic": "cubic"}  # as opset 16 has them
    mode = str(c.get("mode", "linear"))
    if c[0].rank not in (None, 4, 5):
        raise SpecError(f"takes tensors of rank {c[0].rank}; use those of rank 4 or 5")
    given = {"padding_mode": c.get("padding_mode", "zeros")}
    given["align_corners"] = c.get("align_corners", 0)
    return c.call("grid_sample", c[0], c[1], mode=names.get(mode, mode), **given)


@rule("TensorScatter")
def tensor_scatter(c: Call) -> Value:
    """Updates of a cache, written from an index of each batch on."""
    cache, update = c[0], c[1]
    axis, rank = c.get("axis", -2) % rank_of(cache), rank_of(cache)
    count = numbers(c, plain_numbers(size_at(c, update, axis)))
    places = c.builder.unsqueeze(count, [i for i in range(rank) if i != axis])
    if (start := c.optional(2)) is not None:
        first = c.builder.unsqueeze(c.cast(start, "int64"), [*range(1, rank)])
        places = c.call("add", places, first)
    if c.get("mode", "linear") == "circular":
        size = c.builder.reshape(size_at(c, cache, axis), [])
        places = c.call("mod", places, size)
    shape = plain_numbers(c.builder.shape_of(update))
    indices = c.call("expand", places, shape=shape)
    return c.call("scatter_elements", cache, indices, update, axis=axis)


@rule("OptionalHasElement")
def has_element(c: Call) -> Value:
    """Whether there is an input: known, as tensors are always there."""
    return c.constant(c.optional(0) is not None, "bool")


@rule("OptionalGetElement")
def element(c: Call) -> Value:
    """The tensor itself."""
    return c[0]


@rule("STFT")
def spectrogram(c: Call) -> Sequence[Value | None]:
    """The library's; of signals without their last axis of one number too."""
    if c[0].rank == 2:
        c.inputs[0] = c.builder.unsqueeze(c[0], [-1])
    return automatic(c)
