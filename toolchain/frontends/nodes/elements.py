"""Rules of operators on elements that the library names or writes otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from toolchain.frontends.nodes.control import looped
from toolchain.frontends.nodes.rules import (
    Call,
    dtype_of_number,
    inner,
    plain_numbers,
    rule,
)
from toolchain.frontends.nodes.scope import Scope
from toolchain.graph.graph import Value
from toolchain.graph.operators import variant_of
from toolchain.spec import SpecError

FLOATS = ("float32", "float64")
_NAMED = {"And": "logical_and", "Or": "logical_or", "Xor": "logical_xor"}


@rule(*_NAMED)
def logical(c: Call) -> Value:
    """Of bools."""
    return c.call(_NAMED[c.name], c[0], c[1])


@rule("Not")
def negation(c: Call) -> Value:
    """Of bools."""
    return c.call("logical_not", c[0])


@rule("Sum", "Max", "Min", "Mean")
def chain(c: Call) -> Value:
    """A chain of binary operations."""
    step = {"Max": "maximum", "Min": "minimum"}.get(c.name, "add")
    values = c.given()
    total = reduce(lambda a, b: c.exact(step, a, b), values)
    return c.call("div", total, len(values)) if c.name == "Mean" else total


@rule("Clip")
def clip(c: Call) -> Value:
    """minimum(maximum(x, min), max); limits are attributes in old versions."""
    x, limits = c[0], [c.optional(1), c.optional(2)]
    if c.opset < 11:
        given = [c.get("min"), c.get("max")]
        limits = [None if v is None else c.constant(v, x.dtype) for v in given]
    if x.dtype == "float64":  # the runtime fills in those of other dtypes
        ends = (float("-inf"), float("inf"))
        limits = [
            c.constant(e, x.dtype) if v is None else v
            for v, e in zip(limits, ends, strict=True)
        ]
    return c.exact("clip", x, *limits)


@rule("Abs")
def absolute(c: Call) -> Value:
    """|x|; of int64 the larger of x and -x."""
    x = c[0]
    if x.dtype == "uint8":
        return x
    if variant_of("abs", [x.dtype]):
        return c.call("abs", x)
    return c.call("maximum", x, c.call("neg", x))


@rule("Sign")
def sign(c: Call) -> Value:
    """1, 0 or -1; of int64 by comparisons."""
    x = c[0]
    if x.dtype != "int64":
        return c.exact("sign", x)
    above, below = (c.cast(c.call(name, x, 0), "int64") for name in ("greater", "less"))
    return c.call("sub", above, below)


@rule("Neg")
def negative(c: Call) -> Value:
    """-x."""
    return c.exact("neg", c[0])


@rule("Relu")
def relu(c: Call) -> Value:
    """max(x, 0)."""
    x = c[0]
    return c.call("maximum", x, 0) if x.dtype == "int64" else c.exact("relu", x)


@rule("Pow")
def power(c: Call) -> Value:
    """Powers of x by an exponent of any dtype; the square and the root as such."""
    x, y = c[0], c[1]
    number = y.data.item() if y.data is not None and y.data.size == 1 else None
    small = y.rank == 0 or (y.rank or 9) <= (x.rank or 0)
    if small and number == 2:
        return c.call("mul", x, x)
    if small and x.dtype in FLOATS and number == 0.5:
        return _root(c, x)
    if x.dtype == "float32" and _is_wide(y):
        return c.call("pow_wide", x, c.cast(y, "int64"))
    if x.dtype in FLOATS or (x.dtype in ("int32", "int8") and y.dtype == x.dtype):
        return c.call("pow", x, c.cast(y, x.dtype))
    if x.dtype == "int32" and y.dtype in ("int8", "uint8"):
        return c.call("pow", x, c.cast(y, "int32"))
    if y.dtype == "float32" and number is not None and number == int(number):
        return _whole_power(c, x, c.constant(int(number), "int64"))
    return _whole_power(c, x, y)


def _is_wide(y: Value) -> bool:
    """Whether an exponent may be a whole number that float32 has not."""
    if y.dtype not in ("int32", "int64"):
        return False
    return y.data is None or bool((abs(y.data.astype("f8")) > 2**24).any())


def _root(c: Call, x: Value) -> Value:
    """x^0.5, which has no sign: 0 of -0 and inf of -inf, unlike sqrt."""
    least = c.constant(-np.inf, x.dtype)
    root = c.call("abs", c.call("sqrt", x))
    return c.call("where", c.call("equal", x, least), c.call("neg", least), root)


def _whole_power(c: Call, x: Value, y: Value) -> Value:
    """Integers to the power of numbers of another dtype, cut to x's dtype.

    Powers by whole numbers are exact and wrap; others are those of float32.
    """
    whole = y if y.dtype != "float32" else c.call("floor", y)
    exact = c.cast(_by_squares(c, c.cast(x, "int64"), c.cast(whole, "int64")), x.dtype)
    if y.dtype != "float32":
        return exact
    real = c.cast(c.call("pow", c.cast(x, "float32"), y), x.dtype)
    return c.call("where", c.call("equal", whole, y), exact, real)


def _by_squares(c: Call, x: Value, y: Value) -> Value:
    """x^y in int64, a loop over the bits of y; below 0 the true value, cut."""
    shape = c.builder.shape_of(c.call("add", x, y))
    one = filled(c, c.constant(1, "int64"), plain_numbers(shape))
    state = [one, c.call("mul", one, x), c.call("mul", one, c.call("maximum", y, 0))]

    def step(scope: Scope, first: list[Value], carried: list[Value]) -> list[Value]:
        call, two = scope.builder.call, scope.builder.constant(2, "int64")
        total, power, rest = carried
        odd = call("equal", call("mod", rest, two), call("div", two, two))
        kept = call("where", odd, call("mul", total, power), total)
        rest = call("div", rest, two)
        return [first[1], kept, call("mul", power, power), rest]

    bits = c.constant(63, "int64")
    found, _, _ = looped(c, bits, c.constant(True, "bool"), state, step)
    assert found is not None
    sign = c.call("sub", 1, c.call("mul", c.call("mod", y, 2), 2))
    odd_one = c.call("where", c.call("equal", x, -1), sign, c.constant(0, "int64"))
    small = c.call("where", c.call("equal", x, 1), c.constant(1, "int64"), odd_one)
    return c.call("where", c.call("less", y, 0), small, found)


@rule("Div")
def divide(c: Call) -> Value:
    """A quotient; of integers without its fraction."""
    divisor = c[1].data
    if divisor is not None and divisor.dtype.kind != "f" and not divisor.all():
        raise SpecError("its divisor has a 0; correct the model")
    return c.exact("div", c[0], c[1])


@rule("Cast", "CastLike")
def cast(c: Call) -> Value:
    """As another dtype; floats beyond an integer's range become its end, NaN 0."""
    from onnx import TensorProto

    if c.name == "CastLike":
        return c.cast(c[0], c[1].dtype)
    to = c.get("to")
    if isinstance(to, str):  # before opset 6
        to = TensorProto.DataType.Value(to)
    return c.cast(c[0], inner(dtype_of_number(to)))


@rule("BitCast")
def bit_cast(c: Call) -> Value:
    """The same bits as another dtype."""
    to = dtype_of_number(c.get("to"))
    if {c[0].dtype, to} == {"bool", "uint8"}:
        return c.cast(c[0], to)
    return (
        c[0] if c[0].dtype == to else c.call("bit_cast", c[0], dtypes=(c[0].dtype, to))
    )


@rule("Identity")
def identity(c: Call) -> Value:
    """The input itself."""
    return c[0]


def filled(c: Call, value: Value, shape: Value | Sequence[int]) -> Value:
    """A value of one element as a whole tensor."""
    if not isinstance(shape, Value) and len(shape) == 0:
        return c.builder.reshape(value, [])
    return c.call("expand", value, shape=shape)


@rule("Swish")
def swish(c: Call) -> Value:
    """Return x / (1 + exp(-alpha x))."""
    x, alpha = c[0], c.get("alpha", 1.0)
    if alpha == 1:
        return c.call("silu", x)
    return c.call("mul", x, c.call("sigmoid", c.call("mul", x, alpha)))


@rule("PRelu")
def parametric_relu(c: Call) -> Value:
    """Return x, or its product by slope below 0."""
    x, slope = c[0], c[1]
    return c.call("where", c.call("less", x, 0), c.exact("mul", x, slope), x)


@rule("Where")
def where(c: Call) -> Value:
    """Return x where the condition holds, else y."""
    return c.call("where", c[0], c[1], c[2])
