"""Quantized: parts of ONNX's QDQ form that work on integers alone.

In that form a network dequantizes, computes in floats and quantizes again. Where a
convolution or a product stands between, it becomes a `quantized_conv` or
`quantized_dense` node: inputs x (int8 or uint8) and w (int16, its zero point taken
off); attributes bias (int32), factor, x_zero, y_zero, limits. What only moves or
selects elements works on the integers as they are. What fits neither stays in floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Graph, Node, Value

QUANTIZED_CONV, QUANTIZED_DENSE = "quantized_conv", "quantized_dense"
_MOVES = {
    *("nn.max_pool2d", "reshape", "permute_dims", "squeeze", "expand_dims", "flatten"),
}
_FORMS = ("astype", "reshape", "expand_dims", "broadcast_to")  # of a constant
_EIGHT_BIT = ("int8", "uint8")
# A product of int16 pairs is added up in int32: so many cannot overflow.
_DEPTH = (1 << 31) // (255 * 255) - 1


@dataclass(frozen=True)
class Scaled:
    """(integers - zero) * scale; zero and scale have one element or one per channel."""

    integers: Value
    scale: NDArray[Any]
    zero: NDArray[Any]


class Quantized:
    """Made of a graph before constants are folded, used after it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        # What is folded to floats, as the file has it.
        self.weights = {
            node.output: found
            for node in graph.nodes
            if node.op == "multiply" and (found := self._dequantized(node.output))
            if found.integers.data is not None
        }

    def fuse(self) -> None:
        """Rewrite what can work on integers."""
        graph = self.graph
        self.producers = graph.producers()
        for i, node in enumerate(graph.nodes):
            wanted = self._quantized(node)
            if wanted is None:
                continue
            x, scale, zero = wanted
            new = self._move(node, x, scale, zero) or self._product(
                node, x, scale, zero
            )
            if new is not None:
                graph.nodes[i] = new
                self.producers[node.output] = new
        graph.remove_dead()

    def _constant(self, value: Value) -> NDArray[Any] | None:
        """Elements of a constant, in whatever shape."""
        while value.data is None:
            node = self.producers.get(value)
            if node is None or node.op not in _FORMS:
                return None
            value = node.inputs[0]
        return value.data.reshape(-1)

    def _before(self, value: Value, op: str) -> Node | None:
        node = self.producers.get(value)
        return node if node is not None and node.op == op else None

    def _dequantized(self, value: Value) -> Scaled | None:
        """What a float stands for: (integers - zero) * scale, after one another."""
        node = self._before(value, "multiply")
        if node is None or (scale := self._constant(node.inputs[1])) is None:
            return None
        node = self._before(node.inputs[0], "astype")
        if node is None:
            return None
        source, zero = node.inputs[0], np.zeros(1, "int32")
        if subtract := self._before(source, "subtract"):
            found = self._constant(subtract.inputs[1])
            if found is None:
                return None
            source, zero = subtract.inputs[0], found.astype("int32")
            wide = self._before(source, "astype")
            if wide is None:
                return None
            source = wide.inputs[0]
        if source.dtype not in _EIGHT_BIT:
            return None
        return Scaled(source, scale.astype("float64"), zero)

    def _quantized(self, node: Node) -> tuple[Value, float, int] | None:
        """Float, scale and zero point of saturate(round(float / scale) + zero)."""
        if node.op != "astype" or node.output.dtype not in _EIGHT_BIT:
            return None
        clip = self._before(node.inputs[0], "clip")
        limits = np.iinfo(node.output.dtype)
        if clip is None or (clip.attributes["min"], clip.attributes["max"]) != (
            limits.min,
            limits.max,
        ):
            return None
        value, zero = clip.inputs[0], 0
        if add := self._before(value, "add"):
            point = self._constant(add.inputs[1])
            if point is None or point.size != 1:
                return None
            value, zero = add.inputs[0], point[0]
        whole = self._before(value, "astype")
        inside = whole and self._before(whole.inputs[0], "clip")
        if not inside or value.dtype != "int32":
            return None
        value = inside.inputs[0]
        rounding = self._before(value, "round")
        divide = rounding and self._before(rounding.inputs[0], "divide")
        if not divide or divide.output.dtype != "float32":
            return None
        if (scale := self._constant(divide.inputs[1])) is None:
            return None
        if scale.size != 1:
            return None
        return divide.inputs[0], float(scale[0]), int(zero)

    def _move(self, node: Node, x: Value, scale: float, zero: int) -> Node | None:
        """The same movement of the integers, where they keep their meaning."""
        move = self.producers.get(x)
        if move is None or move.op not in _MOVES:
            return None
        source = self._dequantized(move.inputs[0])
        if source is None or source.integers.dtype != node.output.dtype:
            return None
        if source.scale.tolist() != [scale] or source.zero.tolist() != [zero]:
            return None
        return Node(
            move.op, [source.integers], node.outputs, dict(move.attributes), move.build
        )

    def _product(self, node: Node, x: Value, scale: float, zero: int) -> Node | None:
        """A product of integers with bias and limits."""
        limits = np.iinfo(node.output.dtype)
        low, high = limits.min, limits.max
        if relu := self._before(x, "nn.relu"):
            low, x = max(low, zero), relu.inputs[0]
        bias = None
        add = self._before(x, "add")
        if add is not None and (bias := self._constant(add.inputs[1])) is not None:
            x = add.inputs[0]
        product = self.producers.get(x)
        if product is None or not _fits(product):
            return None
        source = self._dequantized(product.inputs[0])
        weights = self.weights.get(product.inputs[1])
        if source is None or weights is None or source.scale.size != 1:
            return None
        convolution = product.op == "nn.conv2d"
        integers = _centred(weights, 0 if convolution else 1)
        channels = integers.shape[0 if convolution else 1]
        if weights.scale.size not in (1, channels) or integers.size > _DEPTH * channels:
            return None
        if bias is not None and bias.size != channels:
            return None
        unit = np.broadcast_to(source.scale * weights.scale, (channels,))
        whole = np.zeros(channels) if bias is None else np.rint(bias / unit)
        if np.abs(whole).max() >= 1 << 30:
            return None
        attributes = dict(product.attributes) | {
            "bias": whole.astype("int32"),
            "factor": (unit / scale).astype("float32"),
            "x_zero": int(source.zero[0]),
            "y_zero": zero,
            "limits": (low, high),
        }
        name = product.inputs[1].name
        inputs = [source.integers, Value.constant(name, integers)]
        op = QUANTIZED_CONV if convolution else QUANTIZED_DENSE
        return Node(op, inputs, node.outputs, attributes)


def _fits(node: Node) -> bool:
    a = node.attributes
    if node.op == "nn.conv2d":
        layouts = (a["data_layout"], a["kernel_layout"], a["groups"])
        return layouts == ("NCHW", "OIHW", 1)
    return node.op == "matmul" and len(node.inputs[1].shape) == 2


def _centred(weights: Scaled, axis: int) -> NDArray[Any]:
    """Weights less their zero point, one or one for each output channel."""
    data = weights.integers.data
    assert data is not None
    shape = [1] * data.ndim
    shape[axis] = -1
    centred = data.astype("int32") - weights.zero.reshape(shape)
    return np.asarray(centred, "int16")
