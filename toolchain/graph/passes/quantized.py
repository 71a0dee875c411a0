"""Quantized: products of dequantized 8-bit tensors become products of their integers.

A product reads dequantized elements (x - zero) * scale and such weights, or is a
matmul_integer. Its sums are computed in int32, exactly; scales, bias, limits and what
quantizes the result again become part of it, as toolchain/spec/quantized.py has them.
Weights stay at one byte each, packed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.passes.epilogues import (
    LIMITS,
    UNLIMITED,
    Array,
    absorbed,
    constant,
    other,
    per_channel,
)
from toolchain.graph.passes.images import channels_last, node_for, windows
from toolchain.graph.passes.quantized_operands import (
    EIGHT_BIT,
    Integers,
    Operands,
    Weights,
    number_of,
)
from toolchain.spec import quantized as packing

# Before rounding, results are below this in magnitude.
_LARGEST = 1 << 22
_INT32 = 1 << 31
_WIDEST = 255  # of an integer less its zero point
# A bias is a whole number of the sums' units, but for its rounding to float32.
_NEAR, _RELATIVE = 1e-4, 3e-7


@dataclass
class Product:
    """A product while it grows.

    dtype: of its result. scale: of each channel; bias: before limits, in units of the
    result. x_scale: a factor that a call knows. y_zero: of an 8-bit result.
    """

    node: Node
    x: Integers
    weights: Weights
    place: int
    dtype: str
    scale: Array
    operands: Operands
    bias: Array | None = None
    x_scale: Value | None = None
    limits: tuple[float, float] = UNLIMITED
    y_zero: int = 0

    @property
    def channels(self) -> int:
        """What it makes."""
        return self.weights.channels

    @property
    def largest(self) -> Array:
        """The most that a sum may be in magnitude, for each channel."""
        return self.weights.magnitude * _WIDEST

    @property
    def is_open(self) -> bool:
        """Whether results are real numbers that may still be scaled."""
        plain = self.bias is None and self.limits == UNLIMITED
        return self.dtype == "float32" and plain


def to_integers(graph: Graph) -> None:
    """Replace products of 8-bit tensors."""
    users, kept, operands = graph.users(), set(graph.outputs), Operands(graph)
    made: dict[Node, list[Node]] = {}
    gone: set[Node] = set()
    for node in graph.nodes:
        start = _STARTS.get(node.op)
        product = None if start is None or node in gone else start(node, operands)
        if product is None:
            continue
        absorbing = [node]
        while (user := absorbed(product, _RULES, users, kept)) is not None:
            absorbing.append(user)
        gone.update(absorbing)
        # After all that its epilogue reads.
        made[absorbing[-1]] = _packed(product)
    graph.nodes = [
        n
        for node in graph.nodes
        for n in made.get(node, [] if node in gone else [node])
    ]
    graph.remove_dead()


# -- what starts a product --


def _real(
    node: Node, operands: Operands, axis: int, place: int, turned: bool = False
) -> Product | None:
    """A product of dequantized tensors."""
    x = operands.dequantized(node.inputs[0])
    weights = operands.weights(node.inputs[1], axis, turned)
    if x is None or weights is None:
        return None
    scale = weights.scale * x.scale
    product = Product(node, x, weights, place, "float32", scale, operands)
    return None if product.largest.max(initial=0) >= _INT32 else product


def _matmul(node: Node, operands: Operands) -> Product | None:
    product = _real(node, operands, 1, 1)
    return None if product is None or product.weights.data.ndim != 2 else product


def _gemm(node: Node, operands: Operands) -> Product | None:
    a = node.attributes
    plain = (a.get("alpha", 1.0), a.get("beta", 1.0), a.get("transA", 0)) == (1, 1, 0)
    product = _real(node, operands, 1, 1, bool(a.get("transB", 0))) if plain else None
    return None if product is None or not _biased(product) else product


def _biased(product: Product) -> bool:
    """Take the third input of a product, where it has one that fits."""
    node = product.node
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    data = constant(node, 2)
    if data is not None and node.op == "conv":
        data = data.reshape(-1, *(1,) * (product.place - 1))
    product.bias = per_channel(product, data)
    return product.bias is not None


def _conv(node: Node, operands: Operands) -> Product | None:
    w = node.inputs[1]
    lists = [node.attributes.get(n, ()) for n in ("strides", "pads", "dilations")]
    if w is None or w.known is None or any(isinstance(v, Value) for v in lists):
        return None
    rank, group = len(w.known), node.attributes.get("group", 1)
    depthwise = group == w.known[0] and w.known[1] == 1
    if rank not in (3, 4) or not (group == 1 or depthwise):
        return None
    product = _real(node, operands, 0, rank - 1)
    return None if product is None or not _biased(product) else product


def _matmul_integer(node: Node, operands: Operands) -> Product | None:
    x, w, x_zero, w_zero = (*node.inputs, None, None)[:4]
    weights = operands.integer_weights(w, w_zero)
    if x is None or weights is None or x.rank is None or x.rank < 2:
        return None
    if x_zero is not None and x_zero.shape != ():
        if x_zero.data is None or x_zero.data.size != 1:
            return None
        x_zero = Value.constant(x_zero.name, x_zero.data.reshape(()))
    scale = np.ones(weights.channels)
    return Product(node, Integers(x, 1.0, x_zero), weights, 1, "int32", scale, operands)


_STARTS: dict[str, Callable[[Node, Operands], Product | None]] = {
    "matmul": _matmul,
    "gemm": _gemm,
    "conv": _conv,
    "matmul_integer": _matmul_integer,
}


# -- what becomes part of it --


def _cast(product: Product, user: Node) -> bool:
    """Sums as int32, and those as floats."""
    to = user.output.dtype
    whole = product.is_open and bool((product.scale == 1).all())
    if product.x_scale is not None or not (product.dtype == "int32" or whole):
        return False
    if {product.dtype, to} != {"int32", "float32"}:
        return False
    product.dtype = to
    return True


def _mul(product: Product, user: Node) -> bool:
    if not product.is_open:
        return False
    factor = other(product, user)
    if factor is None:
        found = _factors(product, user)
        if found is None or product.x_scale is not None:
            return False
        product.x_scale, factor = found
    product.scale = product.scale * factor
    return True


def _factors(product: Product, user: Node) -> tuple[Value, Array] | None:
    """A factor that is a number of the call, by itself or times constants."""
    (value,) = [v for v in user.reads() if v is not product.node.output]
    ones = np.ones(product.channels)
    if value.shape == () and value.data is None:
        return value, ones
    maker = product.operands.makers.get(value)
    if maker is None or maker.op != "mul" or value.dtype != "float32":
        return None
    for i in (0, 1):
        number, factor = maker.inputs[i], per_channel(product, constant(maker, 1 - i))
        if number is not None and number.shape == () and factor is not None:
            return number, factor
    return None


def _add(product: Product, user: Node) -> bool:
    shift = other(product, user)
    if shift is None or product.dtype != "float32" or product.limits != UNLIMITED:
        return False
    product.bias = shift if product.bias is None else product.bias + shift
    return True


def _limited(rule: Callable[[Product, Node], bool]) -> Callable[[Product, Node], bool]:
    return lambda product, user: product.dtype == "float32" and rule(product, user)


def _quantize(product: Product, user: Node) -> bool:
    """What makes 8-bit integers of it, by one scale and one zero point."""
    scale, zero = number_of(user, 1), number_of(user, 2, 0)
    dynamic = product.x_scale is not None or product.dtype != "float32"
    if scale is None or zero is None or dynamic or not scale > 0:
        return False
    if user.inputs[0] is not product.node.output:
        return False
    factors = product.scale / scale
    bias = np.zeros(1) if product.bias is None else product.bias / scale
    if (product.largest * factors + np.abs(bias)).max(initial=0) >= _LARGEST:
        return False
    product.scale, product.y_zero = factors, int(zero)
    product.bias = None if product.bias is None else bias
    low, high = product.limits
    product.limits = tuple(  # type: ignore[assignment]
        x if abs(x) == inf else float(np.rint(x / scale)) + int(zero)
        for x in (low, high)
    )
    product.dtype = user.output.dtype
    return True


_RULES: dict[str, Callable[[Product, Node], bool]] = {
    "cast": _cast,
    "mul": _mul,
    "add": _add,
    "quantize_linear": _quantize,
    **{name: _limited(rule) for name, rule in LIMITS.items()},
}


# -- what it becomes --


def _packed(product: Product) -> list[Node]:
    node, x = product.node, product.x.values
    if node.op == "conv":
        axes = product.weights.data.ndim - 2
        return channels_last(node, x, axes, lambda last: _convolution(product, last))
    w = _constant(product, "packed", packing.panels(product.weights.data))
    inputs = [x, w, *_epilogue(product), _w_zero(product)]
    made = _made(product, "quantized_matmul", inputs, {"features": product.channels})
    made.outputs = node.outputs
    return [made]


def _convolution(product: Product, x: Value) -> Node:
    node, data = product.node, product.weights.data
    attributes: dict[str, Attribute] = {**windows(node, data.ndim - 2)}
    data = data[:, :, None] if data.ndim == 3 else data
    features, _, *taps = data.shape
    if node.attributes.get("group", 1) != 1:
        w = packing.taps(data[:, 0].transpose(1, 2, 0))
        op = "quantized_depthwise"
    else:
        w = packing.panels(data.transpose(2, 3, 1, 0).reshape(-1, features))
        op = "quantized_conv"
    attributes |= {"features": features, "kernel_shape": taps}
    inputs = [x, _constant(product, "packed", w), *_epilogue(product)]
    return _made(product, op, [*inputs, _w_zero(product)], attributes)


def _made(
    product: Product,
    op: str,
    inputs: list[Value | None],
    attributes: dict[str, Attribute],
) -> Node:
    if product.dtype in EIGHT_BIT:
        attributes["y_zero"] = product.y_zero
    for name, limit in zip(("minimum", "maximum"), product.limits, strict=True):
        if abs(limit) != inf:
            attributes[name] = limit
    variant = product.x.values.dtype, product.dtype
    name = f"{product.node.output.name}_integers"
    return node_for(product.node, op, inputs, name, attributes, product.dtype, variant)


def _constant(product: Product, what: str, data: Array) -> Value:
    return Value.constant(f"{product.weights.name}_{what}", data)


def _row(product: Product, what: str, row: Array | None, dtype: str) -> Value | None:
    if row is None:
        return None
    return _constant(product, what, packing.padded(row).astype(dtype))


def _epilogue(product: Product) -> list[Value | None]:
    """Scale, start, bias, the scale and the zero point of x."""
    scale = None if product.dtype == "int32" else product.scale
    start, bias = _start(product)
    zero = product.x.zero
    if zero is not None and zero.data is not None and not zero.data.any():
        zero = None
    return [
        _row(product, "scale", scale, "float32"),
        _row(product, "start", start, "int32"),
        _row(product, "bias", bias, "float32"),
        product.x_scale,
        zero,
    ]


def _start(product: Product) -> tuple[Array | None, Array | None]:
    """A bias in units of the sums, where it is whole, or as it is.

    Bytes without one start with 0, which is the fastest form of an epilogue.
    """
    if product.bias is None and product.dtype in EIGHT_BIT:
        return np.zeros(product.channels), None
    if product.bias is None or product.x_scale is not None:
        return None, product.bias
    with np.errstate(all="ignore"):
        units = product.bias / product.scale
    whole = np.rint(units)
    near = np.abs(units - whole) <= _NEAR + _RELATIVE * np.abs(whole)
    if near.all() and (np.abs(whole) + product.largest < _INT32).all():
        return whole, None
    return None, product.bias


def _w_zero(product: Product) -> Value | None:
    return _row(product, "zero", product.weights.zero, "int32")
