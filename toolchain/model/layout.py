"""Layout: images go through a graph as NHWC, where its operations allow it.

Each value has its own form and perhaps an NHWC copy, made when an operation wants
it; operations that know neither get what they were written for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.model.formulas import is_elementwise
from toolchain.model.graph import Graph, Node, Value
from toolchain.model.pools import overlaps
from toolchain.model.products import CONV
from toolchain.model.quantized import QUANTIZED_CONV

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
POOLS = ("nn.max_pool2d", "nn.avg_pool2d", "nn.adaptive_avg_pool2d")
# One element of the result for each of the operands, in any layout.
POINTWISE = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "power"),
    *("nn.relu", "nn.relu6", "nn.leakyrelu", "clip", "sigmoid", "tanh", "exp", "erf"),
    *("nn.gelu", "nn.silu", "abs", "negative", "sqrt", "rsqrt", "astype", "log"),
}


def to_channels_last(graph: Graph) -> None:
    """Rewrite what lies between convolutions for NHWC."""
    _Rewriter(graph).run()


class _Rewriter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.copies: dict[Value, Value] = {}
        # Values whose own form exists: inputs, constants, results of other nodes.
        self.plain: set[Value] = set(graph.inputs)

    def run(self) -> None:
        for node in self.graph.nodes:
            if not self._rewrite(node):
                for value in node.inputs:
                    self._needs_plain(value)
                self.nodes.append(node)
                self.plain.update(node.outputs)
        for value in self.graph.outputs:
            self._needs_plain(value)
        self.graph.nodes = self.nodes
        self.graph.remove_dead()

    def _rewrite(self, node: Node) -> bool:
        if node.op in (CONV, QUANTIZED_CONV):
            return self._convolution(node)
        moved = any(v in self.copies and v not in self.plain for v in node.inputs)
        if not moved:
            return False
        if node.op in POINTWISE or is_elementwise(node):
            return self._pointwise(node)
        planes = node.op in POOLS and node.attributes["layout"] == "NCHW"
        if planes and not overlaps(node):
            return self._layout_attributes(node)
        if node.op == "concat" and node.attributes["axis"] in (1, -3):
            return self._with_axes(node, "concat", 3)
        if node.op in ("mean", "sum", "max") and node.attributes["keepdims"]:
            axes = sorted(a % 4 for a in node.attributes["axis"] or ())
            if axes == [2, 3]:
                return self._with_axes(node, node.op, [1, 2])
        return False

    def _nhwc(self, value: Value) -> Value:
        """The NHWC form of a value."""
        if value not in self.copies:
            if value.data is not None:
                data = np.ascontiguousarray(value.data.transpose(TO_NHWC))
                self.copies[value] = Value.constant(value.name, data)
            else:
                copy = self._new_copy(value)
                self.nodes.append(permutation(value, copy, TO_NHWC))
        return self.copies[value]

    def _new_copy(self, value: Value) -> Value:
        shape = tuple(value.shape[a] for a in TO_NHWC)
        copy = Value(f"{value.name}_nhwc", shape, value.dtype)
        self.copies[value] = copy
        return copy

    def _needs_plain(self, value: Value) -> None:
        if value in self.plain or value.data is not None:
            return
        self.nodes.append(permutation(self.copies[value], value, TO_NCHW))
        self.plain.add(value)

    def _append(self, node: Node, inputs: list[Value], build: Any) -> bool:
        copy = self._new_copy(node.output)
        self.nodes.append(Node(node.op, inputs, [copy], dict(node.attributes), build))
        return True

    def _convolution(self, node: Node) -> bool:
        x, w, *residual = node.inputs
        inputs = [self._nhwc(x), w, *(self._nhwc(v) for v in residual)]
        return self._append(node, inputs, None)

    def _pointwise(self, node: Node) -> bool:
        inputs = []
        for value in node.inputs:
            if len(value.shape) == 4:
                inputs.append(self._nhwc(value))
            elif value.count == 1:
                inputs.append(value)
            elif value.data is not None and len(value.shape) == 3:
                data = value.data[None].transpose(TO_NHWC)
                inputs.append(Value.constant(value.name, np.ascontiguousarray(data)))
            else:
                return False
        return self._append(node, inputs, node.build)

    def _layout_attributes(self, node: Node) -> bool:
        from tvm import relax

        given = {
            k: v
            for k, v in node.attributes.items()
            if k not in ("layout", "out_layout")
        }
        function = getattr(relax.op.nn, node.op.removeprefix("nn."))
        done = self._append(
            node,
            [self._nhwc(node.inputs[0])],
            lambda inputs: function(inputs[0], **given, layout="NHWC"),
        )
        self.nodes[-1].attributes |= {"layout": "NHWC", "out_layout": "NHWC"}
        return done

    def _with_axes(self, node: Node, name: str, axes: Any) -> bool:
        from tvm import relax

        def build(inputs: list[Any]) -> Any:
            if name == "concat":
                return relax.op.concat(inputs, axis=axes)
            return getattr(relax.op, name)(inputs[0], axis=axes, keepdims=True)

        done = self._append(node, [self._nhwc(v) for v in node.inputs], build)
        self.nodes[-1].attributes["axis"] = axes
        return done


def permutation(source: Value, result: Value, axes: tuple[int, ...]) -> Node:
    """A node that permutes axes."""

    def build(inputs: list[Any]) -> Any:
        from tvm import relax

        return relax.op.permute_dims(inputs[0], axes=list(axes))

    return Node("permute_dims", [source], [result], {"axes": axes}, build)
