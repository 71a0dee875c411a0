"""Rules of reductions, and of normalizations along an axis."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.shapes import counted
from toolchain.graph.graph import Value
from toolchain.graph.operators import variant_of


def reduced(c: Call, name: str, x: Value) -> Value:
    """A reduction over the node's axes: an input or, in old versions, an attribute."""
    axes = c.setting(1, "axes")
    given: dict[str, Any] = {} if axes is None else {"axes": axes}
    for flag in ("keepdims", "noop_with_empty_axes"):
        if (value := c.get(flag)) is not None:
            given[flag] = value
    return c.exact(name, x, **given)


@rule("ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceL2")
def reduction(c: Call) -> Value:
    """The library's; of bool as 8-bit integers, of small dtypes as int32."""
    name = "reduce_" + c.name.removeprefix("Reduce").lower()
    x = c[0]
    if name == "reduce_l2" and x.dtype == "float64":
        return c.call("sqrt", reduced(c, "reduce_sum", c.call("mul", x, x)))
    if name == "reduce_l2" and x.dtype != "float32":
        return c.cast(reduced(c, name, c.cast(x, "float32")), x.dtype)
    if x.dtype == "bool":
        return c.cast(reduced(c, name, c.cast(x, "uint8")), "bool")
    return reduced(c, name, x)


@rule("ReduceL1")
def absolute_sum(c: Call) -> Value:
    """The sum of |x|."""
    x = c[0]
    size = c.call("abs", x) if variant_of("abs", [x.dtype]) else _size(c, x)
    return reduced(c, "reduce_sum", size)


def _size(c: Call, x: Value) -> Value:
    return c.call("maximum", x, c.call("neg", x))


@rule("ReduceSumSquare")
def square_sum(c: Call) -> Value:
    """The sum of squares."""
    return reduced(c, "reduce_sum", c.exact("mul", c[0], c[0]))


@rule("ReduceLogSum")
def log_of_sum(c: Call) -> Value:
    """The logarithm of the sum."""
    return c.call("log", reduced(c, "reduce_sum", c[0]))


@rule("ReduceLogSumExp")
def log_of_sum_of_powers(c: Call) -> Value:
    """log(sum(exp(x))), from the largest element on."""
    axes = c.setting(1, "axes")
    given: dict[str, Any] = {} if axes is None else {"axes": axes}
    empty = c.get("noop_with_empty_axes")
    given |= {} if empty is None else {"noop_with_empty_axes": empty}
    most = c.call("reduce_max", c[0], **given)
    # Rows of infinities, and empty ones, have no place to start from.
    finite = c.call("less", c.call("abs", most), float("inf"))
    most = c.call("where", finite, most, c.constant(0, most.dtype))
    total = reduced(c, "reduce_sum", c.call("exp", c.call("sub", c[0], most)))
    if not c.get("keepdims", 1):
        most = reduced(c, "reduce_max", most)
    return c.call("add", c.call("log", total), most)


@rule("Softmax", "LogSoftmax", "Hardmax")
def along_axis(c: Call) -> Value:
    """Along an axis; up to opset 12 along it and all that follow, as one."""
    axis, x = c.get("axis", 1 if c.opset < 13 else -1), c[0]
    step = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}.get(c.name)
    if c.opset >= 13 or axis == -1 or axis + 1 == x.rank:
        return c.call(step, x, axis=axis) if step else _largest(c, x, axis)
    rows = c.builder.flatten(x, axis)
    found = c.call(step, rows, axis=-1) if step else _largest(c, rows, -1)
    return c.builder.reshape(found, c.builder.shape_of(x), allowzero=1)


def _largest(c: Call, x: Value, axis: int) -> Value:
    """1 at the first largest element along the axis, else 0."""
    place = c.call("arg_max", x, axis=axis, keepdims=1)
    hit = c.call("equal", counted(c, x, axis), place)
    return c.cast(hit, x.dtype)
