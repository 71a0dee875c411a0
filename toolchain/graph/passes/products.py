"""Products: convolutions and products with constant weights get them packed.

What follows such a product and fits becomes part of it: a bias, a factor for each
channel, limits. Convolutions become those of images with their channels last, between
transposes, which `layout` takes out again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.passes.epilogues import (
    LIMITS,
    UNLIMITED,
    Array,
    absorbed,
    constant,
    other,
)
from toolchain.graph.passes.images import channels_last, node_for, windows
from toolchain.graph.shapes import infer
from toolchain.spec.panels import PANEL_WIDTH

FLOATS = ("float32",)


@dataclass
class Product:
    """A product while it grows. weights: [K, N], or [M, C, R, S] of a convolution.

    axis: of the weights, for what it makes. place: of that in its result's shape,
    counted from the end.
    """

    node: Node
    weights: Array
    bias: Array | None
    axis: int
    place: int
    limits: tuple[float, float] = UNLIMITED

    @property
    def channels(self) -> int:
        """What it makes."""
        return int(self.weights.shape[self.axis])

    def scale(self, factor: Array, shift: Array) -> None:
        """Let the result be what it was, times a factor, plus a shift."""
        shape = [1] * self.weights.ndim
        shape[self.axis] = -1
        self.weights = self.weights * factor.reshape(shape)
        self.bias = (0.0 if self.bias is None else self.bias) * factor + shift


def pack(graph: Graph) -> None:
    """Pack what has constant weights."""
    users, kept = graph.users(), set(graph.outputs)
    made: dict[Node, list[Node]] = {}
    gone: set[Node] = set()
    for node in graph.nodes:
        start = _STARTS.get(node.op)
        product = None if start is None or node in gone else start(node)
        if product is None:
            continue
        while (user := absorbed(product, _RULES, users, kept)) is not None:
            gone.add(user)
        made[node] = _packed(product)
    graph.nodes = [
        n for node in graph.nodes if node not in gone for n in made.get(node, [node])
    ]


# -- what starts a product --


def _matmul(node: Node) -> Product | None:
    weights = constant(node, 1)
    if weights is None or weights.ndim != 2:
        return None
    return Product(node, weights.astype("float64"), None, 1, 1)


def _gemm(node: Node) -> Product | None:
    weights, bias, a = constant(node, 1), None, node.attributes
    plain = (a.get("alpha", 1.0), a.get("beta", 1.0), a.get("transA", 0)) == (1, 1, 0)
    if weights is None or not plain:
        return None
    weights = weights.T if a.get("transB", 0) else weights
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        given = constant(node, 2)
        if given is None or given.size not in (1, weights.shape[1]):
            return None
        if given.ndim == 2 and given.shape[0] != 1:
            return None
        bias = np.broadcast_to(given.reshape(-1), weights.shape[1:]).astype("float64")
    return Product(node, weights.astype("float64"), bias, 1, 1)


def _conv(node: Node) -> Product | None:
    weights, bias = constant(node, 1), None
    lists = [node.attributes.get(n, ()) for n in ("strides", "pads", "dilations")]
    if weights is None or any(isinstance(v, Value) for v in lists):
        return None
    group = node.attributes.get("group", 1)
    if group not in (1, len(weights)) or (group != 1 and weights.shape[1] != 1):
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = constant(node, 2)
        if bias is None:
            return None
        bias = bias.astype("float64")
    return Product(node, weights.astype("float64"), bias, 0, weights.ndim - 1)


_STARTS: dict[str, Callable[[Node], Product | None]] = {
    "matmul": _matmul,
    "gemm": _gemm,
    "conv": _conv,
}


# -- what becomes part of it --


def _add(product: Product, user: Node) -> bool:
    shift = other(product, user)
    if shift is None or product.limits != UNLIMITED:
        return False
    product.scale(np.ones_like(shift), shift)
    return True


def _mul(product: Product, user: Node) -> bool:
    factor = other(product, user)
    if factor is None or product.limits != UNLIMITED:
        return False
    product.scale(factor, np.zeros_like(factor))
    return True


def _normalized(product: Product, user: Node) -> bool:
    """Batch normalization of a convolution."""
    known = [constant(user, i) for i in range(1, 5)]
    convolution = product.node.op == "conv"
    if any(v is None for v in known) or product.limits != UNLIMITED or not convolution:
        return False
    gamma, beta, mean, variance = (np.asarray(v, "float64") for v in known)
    epsilon = user.attributes.get("epsilon", 1e-5)
    factor = gamma / np.sqrt(variance + epsilon)
    product.scale(factor, beta - mean * factor)
    return True


_RULES: dict[str, Callable[[Product, Node], bool]] = {
    "add": _add,
    "mul": _mul,
    "batch_normalization": _normalized,
    **LIMITS,
}


# -- what it becomes --


def _packed(product: Product) -> list[Node]:
    node, axes = product.node, product.weights.ndim - 2
    if node.op != "conv":
        return [_matmul_packed(product)]
    x = node.inputs[0]
    assert x is not None
    return channels_last(node, x, axes, lambda last: _convolution(product, last))


def _matmul_packed(product: Product) -> Node:
    node = product.node
    inputs = [node.inputs[0], _weights(node, panels(product.weights)), _bias(product)]
    attributes: dict[str, Attribute] = {"columns": product.channels}
    attributes |= _limits(product)
    packed = Node(
        "matmul_packed", inputs, node.outputs, attributes, FLOATS, place=node.place
    )
    infer(packed)
    return packed


def _limits(product: Product) -> dict[str, float]:
    names = ("minimum", "maximum")
    return {
        n: v for n, v, d in zip(names, product.limits, UNLIMITED, strict=True) if v != d
    }


def _weights(node: Node, data: Array) -> Value:
    source = node.inputs[1]
    assert source is not None
    return Value.constant(f"{source.name}_packed", data.astype("float32"))


def _bias(product: Product) -> Value | None:
    if product.bias is None:
        return None
    name = f"{product.node.output.name}_bias"
    return Value.constant(name, product.bias.astype("float32"))


def panels(matrix: Array) -> Array:
    """[K, N] as [ceil(N / PANEL_WIDTH), K, PANEL_WIDTH]; columns past N are 0."""
    depth, columns = matrix.shape
    count = -(-columns // PANEL_WIDTH)
    padded = np.zeros((depth, count * PANEL_WIDTH), "float32")
    padded[:, :columns] = matrix
    parts = padded.reshape(depth, count, PANEL_WIDTH).transpose(1, 0, 2)
    return np.ascontiguousarray(parts)


def _convolution(product: Product, x: Value) -> Node:
    node, weights = product.node, product.weights
    attributes: dict[str, Attribute] = {**windows(node, weights.ndim - 2)}
    weights = weights[:, :, None] if weights.ndim == 3 else weights
    features, _, rows, columns = weights.shape
    attributes |= _limits(product)
    name = f"{node.output.name}_last"
    if node.attributes.get("group", 1) != 1:
        taps = _weights(node, np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0)))
        inputs = [x, taps, _bias(product)]
        return node_for(node, "depthwise_packed", inputs, name, attributes)
    matrix = weights.transpose(2, 3, 1, 0).reshape(-1, features)
    inputs = [x, _weights(node, panels(matrix)), _bias(product)]
    attributes |= {"features": features, "kernel_shape": [rows, columns]}
    return node_for(node, "conv_packed", inputs, name, attributes)
