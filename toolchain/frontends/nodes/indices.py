"""Rules of operators at indices, and of ranges of numbers."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.rules import (
    Call,
    dtype_of_number,
    plain_numbers,
    rule,
)
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
    to = dtype_of_number(number) if number else c[0].dtype
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
