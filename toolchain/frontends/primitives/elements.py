"""Rules of primitives on elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.dtypes import DTYPES
from toolchain.frontends.nodes.elements import filled
from toolchain.frontends.nodes.rules import plain_numbers
from toolchain.frontends.nodes.scope import Items
from toolchain.frontends.nodes.shapes import rank_of
from toolchain.frontends.primitives.calls import Primitive, dtype_of, primitive
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

# ONNX operators of the same one operand, and their attributes.
_UNARY: dict[str, tuple[str, dict[str, Any]]] = {
    "ACos": ("Acos", {}),
    "GeLU": ("Gelu", {"approximate": "tanh"}),
    "HSigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "HSwish": ("HardSwish", {}),
    "IsNan": ("IsNaN", {}),
    "LogicalNot": ("Not", {}),
    "ReLU": ("Relu", {}),
    "SeLU": ("Selu", {}),
    "SiLU": ("Swish", {}),
    **{
        name: (name, {})
        for name in (
            *("Abs", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh"),
            *("Erf", "Exp", "Floor", "IsInf", "Log", "Mish", "Neg", "Reciprocal"),
            *("Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan"),
            *("Tanh", "BitwiseNot"),
        )
    },
}
# ONNX operators of the same two operands.
_BINARY = {
    "Adds": "Add",
    "Subs": "Sub",
    "Muls": "Mul",
    "Divs": "Div",
    "RealDiv": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "LessEqual": "LessOrEqual",
    "GreaterEqual": "GreaterOrEqual",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
    "LogicalXor": "Xor",
    "ScalarAdd": "Add",
    "ScalarSub": "Sub",
    "ScalarMul": "Mul",
    **{
        name: name
        for name in (
            *("Add", "Sub", "Mul", "Div", "Pow", "Equal", "Less", "Greater"),
            *("BitwiseAnd", "BitwiseOr", "BitwiseXor"),
        )
    },
}


@primitive(*_UNARY)
def unary(c: Primitive) -> Value:
    """The ONNX operator."""
    name, attributes = _UNARY[c.name]
    return c.onnx(name, c[0], **attributes)


@primitive(*_BINARY)
def binary(c: Primitive) -> Value:
    """The ONNX operator."""
    return c.onnx(_BINARY[c.name], *c.pair())


@primitive("Identity", "Load", "Depend", "Return", "StopGradient")
def passed(c: Primitive) -> Value | None:
    """The first input; the others order side effects, of which inference has none."""
    return c.optional(0)


@primitive("UpdateState")
def nothing(c: Primitive) -> Value:
    """Order alone."""
    return Items([])


@primitive("Round")
def rounded(c: Primitive) -> Value:
    """To the nearest integer, halves to the even one."""
    c.need("decimals", c.known(1, "decimals", 0), 0)
    return c.onnx("Round", c[0])


@primitive("Trunc")
def truncated(c: Primitive) -> Value:
    """Without the fraction."""
    x = c[0]
    if x.dtype != "float32":
        return x
    return c.call("where", c.call("less", x, 0), c.call("ceil", x), c.call("floor", x))


@primitive("IsFinite")
def finite(c: Primitive) -> Value:
    """Neither an infinity nor NaN."""
    return c.call("less", c.call("abs", c.cast(c[0], "float32")), float("inf"))


@primitive("Square")
def square(c: Primitive) -> Value:
    """x²."""
    return c.onnx("Mul", c[0], c[0])


@primitive("SquaredDifference")
def squared_difference(c: Primitive) -> Value:
    """(a - b)²."""
    found = c.onnx("Sub", *c.pair())
    return c.onnx("Mul", found, found)


@primitive("Rsqrt")
def reciprocal_root(c: Primitive) -> Value:
    """1 / sqrt(x)."""
    return c.call("reciprocal", c.call("sqrt", c[0]))


@primitive("Log1p")
def log_of_one_more(c: Primitive) -> Value:
    """log(1 + x)."""
    return c.call("log", c.call("add", c[0], 1))


@primitive("Expm1")
def exp_less_one(c: Primitive) -> Value:
    """By Elu below 0; above, exp(x) - 1 is -(exp(-x) - 1) exp(x)."""
    x = c[0]
    below = c.call("elu", c.call("neg", c.call("abs", x)), alpha=1.0)
    above = c.call("neg", c.call("mul", below, c.call("exp", x)))
    return c.call("where", c.call("greater", x, 0), above, below)


@primitive("Erfc")
def error_function_less(c: Primitive) -> Value:
    """1 - erf(x)."""
    return c.call("sub", 1, c.call("erf", c[0]))


@primitive("NotEqual")
def different(c: Primitive) -> Value:
    """Whether a differs from b; NaN differs from all."""
    return c.onnx("Not", c.onnx("Equal", *c.pair()))


@primitive("Atan2")
def angle(c: Primitive) -> Value:
    """The angle of (b, a)."""
    return c.call("atan2", *c.pair())


@primitive("FloorMod", "ScalarMod")
def modulo(c: Primitive) -> Value:
    """The rest that has the divisor's sign."""
    return c.exact("mod", *c.pair(), fmod=0)


@primitive("FloorDiv", "ScalarFloorDiv")
def floor_divided(c: Primitive) -> Value:
    """The quotient, rounded down."""
    return _floor_div(c, *c.pair())


def _floor_div(c: Primitive, a: Value, b: Value) -> Value:
    if a.dtype == "float32":
        return c.call("floor", c.call("div", a, b))
    rest = c.exact("mod", a, b, fmod=0)
    return c.exact("div", c.exact("sub", a, rest), b)


@primitive("DivMod")
def divided(c: Primitive) -> Value:
    """A quotient: whole (None), without its fraction (1), or rounded down (2)."""
    mode, (a, b) = c.known(2, "rounding_mode"), c.pair()
    c.need("rounding_mode", mode, None, 1, 2)
    if mode == 2:
        return _floor_div(c, a, b)
    found = c.exact("div", a, b)
    if mode is None or a.dtype != "float32":
        return found
    c.inputs = [found]
    return truncated(c)


@primitive("ReLU6", "ClampScalar", "ClampTensor")
def clipped(c: Primitive) -> Value:
    """Between two limits, each of which may be absent."""
    x = c[0]
    if c.name == "ReLU6":
        low, high = c.constant(0, x.dtype), c.constant(6, x.dtype)
        return c.exact("clip", x, low, high)
    for index, name in ((1, "maximum"), (2, "minimum")):
        if c.optional(index) is not None:
            x = c.exact(name, x, c.like(index, x))
    return x


@primitive("Elu", "CeLU")
def exponential_unit(c: Primitive) -> Value:
    """Elu, or Celu, with alpha."""
    name = {"CeLU": "Celu"}.get(c.name, "Elu")
    return c.onnx(name, c[0], alpha=float(c.known(1, "alpha", 1.0)))


@primitive("LeakyReLUExt")
def leaky(c: Primitive) -> Value:
    """x, or x times the slope below 0."""
    slope = float(c.known(1, "negative_slope", 0.01))
    return c.onnx("LeakyRelu", c[0], alpha=slope)


@primitive("PReLU")
def parametric(c: Primitive) -> Value:
    """x, or below 0 its product by a slope: one, or one for each channel."""
    slope = c[1]
    if slope.shape not in ((), (1,)):
        slope = channels(c, slope, rank_of(c[0]))
    return c.onnx("PRelu", c[0], slope)


def channels(c: Primitive, values: Value, rank: int, axis: int = 1) -> Value:
    """A vector as it stands along an axis of a tensor of some rank."""
    return c.builder.reshape(values, [-1] + [1] * (rank - axis - 1))


@primitive("HShrink", "SoftShrink")
def shrunk(c: Primitive) -> Value:
    """0 near 0; elsewhere x, or x brought nearer to 0 by lambd."""
    limit = float(c.known(1, "lambd", 0.5))
    bias = limit if c.name == "SoftShrink" else 0.0
    return c.onnx("Shrink", c[0], lambd=limit, bias=bias)


@primitive("Addcmul")
def add_product(c: Primitive) -> Value:
    """Give x + value a b."""
    product = c.onnx("Mul", c[1], c[2])
    return c.onnx("Add", c[0], c.onnx("Mul", product, c.like(3, product)))


@primitive("Lerp")
def between(c: Primitive) -> Value:
    """Give start + weight (end - start)."""
    way = c.onnx("Sub", c[1], c[0])
    return c.onnx("Add", c[0], c.onnx("Mul", way, c.like(2, way)))


@primitive("Select")
def selected(c: Primitive) -> Value:
    """Give a where the condition holds, else b."""
    return c.onnx("Where", c[0], c.like(1, c[2]), c.like(2, c[1]))


@primitive("MaskedFill")
def filled_by_mask(c: Primitive) -> Value:
    """Give value where the mask holds, else x."""
    return c.onnx("Where", c[1], c.like(2, c[0]), c[0])


@primitive("Cast", "ScalarCast", "ScalarToTensor", "TensorToScalar")
def cast(c: Primitive) -> Value:
    """As another dtype; floats beyond an integer's range become its end, NaN 0."""
    x, said = c[0], c.known(1, "dtype")
    to = x.dtype if said is None else dtype_of(c, said)
    if x.data is not None and x.dtype not in DTYPES:
        with np.errstate(invalid="ignore"):
            return c.constant(x.data, to)
    return c.cast(x, to)


@primitive("OnesLike", "ZerosLike")
def constant_like(c: Primitive) -> Value:
    """One number in the shape of x."""
    x = c[0]
    number = c.constant(int(c.name == "OnesLike"), x.dtype)
    return filled(c, number, plain_numbers(c.builder.shape_of(x)))


@primitive("Ones", "Zeros", "FillV2")
def constant(c: Primitive) -> Value:
    """One number in a shape."""
    shape = c.option(0, "shape")
    if c.name == "FillV2":
        number = c[1]
    else:
        said = c.known(1, "dtype", 43)
        number = c.constant(int(c.name == "Ones"), dtype_of(c, said))
    return filled(c, number, [shape] if isinstance(shape, int) else shape)


@primitive("Dropout")
def dropout(c: Primitive) -> Value:
    """The input itself, where nothing is dropped."""
    if c.get("keep_prob", 0.5) != 1:
        raise SpecError("drops at random; export after net.set_train(False)")
    return Items([c[0]])
