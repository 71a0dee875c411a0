"""Layout: images go through a graph with their channels last, where nodes allow it.

A value behind a transpose to channels first has a copy with its channels last: what
that transpose reads. A node that knows no channels takes the copies, and its result is
such a value again; any other node makes the transpose necessary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.operators import operator
from toolchain.graph.shapes import infer


def to_last(rank: int) -> list[int]:
    """The axes of NCW, NCHW, ... as NWC, NHWC, ... has them."""
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    """The axes of NWC, NHWC, ... as NCW, NCHW, ... has them."""
    return [0, rank - 1, *range(1, rank - 1)]


def to_channels_last(graph: Graph) -> None:
    """Take out transposes between convolutions."""
    _Rewriter(graph).run()


class _Rewriter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.copies: dict[Value, Value] = {}  # with the channels last
        self.waiting: dict[Value, Node] = {}  # transposes that nothing needed yet
        self.same: dict[Value, Value] = {}  # what a copy made superfluous

    def run(self) -> None:
        for node in self.graph.nodes:
            node.inputs = [v and self.same.get(v, v) for v in node.inputs]
            if not self._rewritten(node):
                for value in node.reads():
                    self._need(value)
                self.nodes.append(node)
        self.graph.outputs = [self.same.get(v, v) for v in self.graph.outputs]
        for value in self.graph.outputs:
            self._need(value)
        self.graph.nodes = self.nodes
        self.graph.remove_dead()

    def _need(self, value: Value) -> None:
        """Make a value that only has a copy so far."""
        node = self.waiting.pop(value, None)
        if node is not None:
            self.nodes.append(node)

    def _rewritten(self, node: Node) -> bool:
        if node.op == "transpose":
            return self._transpose(node)
        if not any(v in self.waiting for v in node.inputs if v is not None):
            return False
        if len(node.outputs) != 1 or any(
            isinstance(v, Value) for v in node.attributes.values()
        ):
            return False
        if operator_collapse(node) == "elementwise":
            return self._elementwise(node)
        if node.op == "concat":
            return self._along(node, "axis")
        if node.op in _REDUCTIONS and node.attributes.get("keepdims", 1):
            return self._along(node, "axes")
        if node.op == "global_average_pool":
            return self._average(node)
        if node.op in _POOLS:
            return self._pool(node)
        return False

    def _transpose(self, node: Node) -> bool:
        """Note what transposes there and back are copies of."""
        (x,), perm = node.inputs, node.attributes.get("perm")
        assert x is not None
        if not isinstance(perm, Sequence) or len(perm) < 3:
            return False
        rank = len(perm)
        copy = self.copies.get(x)  # of three axes to_first and to_last are the same
        if list(perm) == to_last(rank) and copy is not None:
            self.same[node.output] = copy
            return True
        if list(perm) == to_first(rank) and x.data is None:
            self._need(x)
            self.copies[node.output] = x
            self.waiting[node.output] = node
            return True
        if list(perm) == to_last(rank):
            self._need(x)
            self.nodes.append(node)
            self.copies[x] = node.output
            return True
        return False

    def _last(self, value: Value, rank: int) -> Value | None:
        """A value with its channels last; None where that takes more than copies."""
        if value in self.copies:
            return self.copies[value]
        if value.data is not None and value.data.size == 1 and value.data.ndim <= rank:
            return value
        if value.data is not None and value.data.ndim <= rank:
            wide = value.data.reshape(
                (1,) * (rank - value.data.ndim) + value.data.shape
            )
            data = np.ascontiguousarray(wide.transpose(to_last(rank)))
            return Value.constant(f"{value.name}_last", data)
        return None

    def _rank(self, node: Node) -> int:
        """The rank of what waits behind transposes."""
        made = (self.waiting.get(v) for v in node.inputs if v is not None)
        perm = next(n for n in made if n is not None).attributes["perm"]
        assert isinstance(perm, list)
        return len(perm)

    def _elementwise(self, node: Node) -> bool:
        rank = self._rank(node)
        inputs: list[Value | None] = []
        for value in node.inputs:
            last = None if value is None else self._last(value, rank)
            if last is None and value is not None:
                if value.rank != rank:
                    return False
                last = self._transposed(value, rank)
            inputs.append(last)
        self._append(node, inputs, rank)
        return True

    def _transposed(self, value: Value, rank: int) -> Value:
        """A copy of a value that others made with its channels first."""
        copy = Value(f"{value.name}_last", value.dtype)
        dtypes = (value.dtype,)
        perm: dict[str, Attribute] = {"perm": to_last(rank)}
        node = Node("transpose", [value], [copy], perm, dtypes)
        infer(node)
        self.nodes.append(node)
        self.copies[value] = copy
        return copy

    def _along(self, node: Node, name: str) -> bool:
        """A node whose axes move with the channels."""
        rank = self._rank(node)
        given = node.attributes.get(name, ())
        axes = _whole(given)
        if not axes or any(
            v is None or v.data is not None or v.rank != rank for v in node.inputs
        ):
            return False
        inputs: list[Value | None] = [
            self._last(v, rank) or self._transposed(v, rank)
            for v in node.inputs
            if v is not None
        ]
        moved = [to_last(rank).index(a % rank) for a in axes]
        new = replace(node, attributes=dict(node.attributes))
        new.attributes[name] = moved[0] if isinstance(given, int) else sorted(moved)
        self._append(new, inputs, rank)
        return True

    def _average(self, node: Node) -> bool:
        rank = self._rank(node)
        attributes: dict[str, Attribute] = {
            "axes": list(range(1, rank - 1)),
            "keepdims": 1,
        }
        new = replace(node, op="reduce_mean", attributes=attributes)
        value = node.inputs[0]
        assert value is not None
        self._append(new, [self.copies[value]], rank)
        return True

    def _pool(self, node: Node) -> bool:
        """Windows of an image, unless they overlap so much that only planes fold."""
        value, given = node.inputs[0], dict(node.attributes)
        assert value is not None
        taps, steps = (_whole(given.get(n, ())) for n in ("kernel_shape", "strides"))
        padded = given.pop("count_include_pad", 0)
        overlap = prod(taps) > OVERLAP * prod(steps)
        bytes_too = node.op == "max_pool" and value.dtype in ("int8", "uint8")
        typed = bytes_too or value.dtype == "float32"
        if len(taps) != 2 or overlap or not typed:
            return False
        kinds = _POOLS[node.op]
        given["kind"] = kinds[1] if padded and len(kinds) > 1 else kinds[0]
        new = replace(node, op="pool_last", attributes=given)
        self._append(new, [self.copies[value]], 4)
        return True

    def _append(self, node: Node, inputs: list[Value | None], rank: int) -> None:
        """Add a node over copies; its output waits behind a transpose."""
        out = node.output
        copy = Value(f"{out.name}_last", out.dtype)
        made = replace(node, inputs=inputs, outputs=[copy])
        infer(made)
        self.nodes.append(made)
        perm: dict[str, Attribute] = {"perm": to_first(rank)}
        self.copies[out] = copy
        self.waiting[out] = Node(
            "transpose", [copy], [out], perm, (out.dtype,), place=node.place
        )


_POOLS = {"max_pool": ("max",), "average_pool": ("mean", "mean_padded")}
# How often an element may be read tap by tap, as in runtime_stub/windows.c.
OVERLAP = 64
_REDUCTIONS = ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min")


def _whole(given: Attribute) -> list[int]:
    """Whole numbers of an attribute."""
    values = given if isinstance(given, Sequence) else [given]
    return [v for v in values if isinstance(v, int)]


def operator_collapse(node: Node) -> str:
    """The collapse of a node's operator; "" of the graph's own operations."""
    if not node.dtypes:
        return ""
    return operator(node.op).collapse.partition(".")[0]
