"""Rules of operators on shapes, and the arithmetic of sizes that rules need.

Sizes are int64 vectors, computed by operators of the library like any other values;
where they are known they are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.load import array, dense
from toolchain.frontends.nodes.rules import Call, computed_with, plain_numbers, rule
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

Sizes = Value | Sequence[int]


def size_at(c: Call, x: Value, axis: int) -> Value:
    """The size of an axis, as a vector of one element."""
    return c.builder.shape_of(x, axis, None if axis == -1 else axis + 1)


def joined(c: Call, *parts: Value | int) -> Any:
    """Sizes after each other: numbers where all are known, else a vector."""
    vectors = [p if isinstance(p, Value) else c.constant([p], "int64") for p in parts]
    whole = vectors[0] if len(vectors) == 1 else c.call("concat", *vectors, axis=0)
    return plain_numbers(whole)


def ones_like(c: Call, x: Value) -> Value:
    """Ones of int64 in the shape of x."""
    shape = plain_numbers(c.builder.shape_of(x))
    one = c.constant(1, "int64")
    if shape == []:
        return one
    return c.call("expand", one, shape=shape)


def counted(c: Call, x: Value, axis: int) -> Value:
    """0, 1, 2, ... along an axis, in the shape of x, as int64."""
    return c.call("cum_sum", ones_like(c, x), axis=axis, exclusive=1)


def numbers(c: Call, count: Sizes) -> Value:
    """0, 1, 2, ... as int64. count: one number, or a vector of one element."""
    if not isinstance(count, Value):
        return c.builder.constant(np.arange(count[0], dtype="int64"))
    return c.call("range", dtypes=("int64",), start=0, limit=count, delta=1)


def rank_of(x: Value, what: str = "its input") -> int:
    """The number of axes. Errors: SpecError where it is unknown."""
    if x.rank is None:
        raise SpecError(
            f"needs the number of axes of {what}, which is unknown; give the shapes "
            "of the model's inputs"
        )
    return x.rank


@rule("Shape")
def shape(c: Call) -> Value:
    """Sizes, or those from start to end."""
    return c.builder.shape_of(c[0], c.get("start", 0) or 0, c.get("end"))


@rule("Size")
def size(c: Call) -> Value:
    """The number of elements."""
    return c.call("reduce_prod", c.builder.shape_of(c[0]), keepdims=0)


@rule("Reshape")
def reshape(c: Call) -> Value:
    """The same elements in another shape."""
    wanted, x = c.setting(1, "shape"), c[0]
    found = c.builder.reshape(x, wanted, allowzero=c.get("allowzero", 0) or 0)
    if found.shape is None and isinstance(wanted, Value) and wanted.known:
        found.shape = (None,) * wanted.known[0]
    return found


@rule("Flatten")
def flatten(c: Call) -> Value:
    """Two axes: those before `axis`, and the others."""
    return c.builder.flatten(c[0], c.get("axis", 1))


@rule("Squeeze")
def squeeze(c: Call) -> Value:
    """Without axes of size 1."""
    axes = c.setting(1, "axes")
    if axes is None and c[0].known is not None:
        axes = [i for i, n in enumerate(c[0].known) if n == 1]
        return c.builder.squeeze(c[0], axes) if axes else c[0]
    if axes == []:
        return c[0]
    found = c.builder.squeeze(c[0], () if axes is None else axes)
    _rank(found, c[0].rank, axes, -1)
    return found


@rule("Unsqueeze")
def unsqueeze(c: Call) -> Value:
    """With axes of size 1."""
    axes = c.setting(1, "axes")
    axes = [axes] if isinstance(axes, int) else axes
    if axes == []:
        return c[0]
    found = c.builder.unsqueeze(c[0], axes)
    _rank(found, c[0].rank, axes, 1)
    return found


def _rank(found: Value, rank: int | None, axes: Any, step: int) -> None:
    """Set the rank of a result with so many axes more or less."""
    count: int | None = None
    if isinstance(axes, list):
        count = len(axes)
    elif isinstance(axes, Value) and axes.known:
        count = axes.known[0]
    if found.shape is None and rank is not None and count is not None:
        found.shape = (None,) * (rank + step * count)


@rule("Constant")
def constant(c: Call) -> Value:
    """An attribute as a value."""
    given = c.attributes
    if "sparse_value" in given:
        return c.builder.constant(computed_with(dense(given["sparse_value"])))
    if "value" in given:
        return c.builder.constant(computed_with(array(given["value"])))
    for name, dtype in (("value_float", "float32"), ("value_int", "int64")):
        for key in (name, f"{name}s"):
            if key in given:
                return c.constant(given[key], dtype)
    texts = given.get("value_string", given.get("value_strings"))
    return c.builder.constant(np.array(texts, object))


@rule("ConstantOfShape")
def constant_of_shape(c: Call) -> Value:
    """One element everywhere."""
    given = c.get("value")
    data = np.zeros(1, "float32") if given is None else computed_with(array(given))
    wanted = c.setting(0)
    element = c.builder.constant(data.reshape(()))
    if wanted == []:
        return element
    return c.call("expand", element, shape=wanted)


@rule("Expand")
def expand(c: Call) -> Value:
    """Broadcast to a shape."""
    wanted = c.setting(1)
    return c[0] if wanted == [] else c.call("expand", c[0], shape=wanted)
