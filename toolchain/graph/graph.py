"""Graph: nodes over values, in an order in which they can run.

A node is an operator of kernels/ (or of OPERATORS beside it) with its attributes, or
one of the graph's own operations:

    graph.shape      int64 sizes of a value; attributes start and end, as ONNX's Shape
    graph.reshape    the same memory in another shape: attributes shape and allowzero
    graph.squeeze    without axes of size 1: attribute axes (none: all of them)
    graph.unsqueeze  with axes of size 1: attribute axes
    graph.flatten    two axes: attribute axis
    graph.if         inputs condition and what the regions read; regions then and else
    graph.loop       inputs count, condition (None: as ONNX's Loop), what is carried,
                     and what the region reads beside it; region inputs iteration,
                     condition, the same; region outputs condition, what is carried, and
                     what is stacked along a new first axis; attribute carried: how many
                     values are carried

An attribute is a number, numbers, or a Value whose elements are the numbers when the
model runs. A region is a graph; it reads nothing but its inputs and constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.sizes import Size

PREFIX = "graph."
SHAPE, RESHAPE, SQUEEZE, UNSQUEEZE, FLATTEN, IF, LOOP = (
    f"{PREFIX}{name}"
    for name in ("shape", "reshape", "squeeze", "unsqueeze", "flatten", "if", "loop")
)
# Whose result is their first input's memory.
VIEWS = (RESHAPE, SQUEEZE, UNSQUEEZE, FLATTEN)


@dataclass(eq=False)
class Value:
    """A tensor.

    shape: what is known of it before it is computed: a size is a number, an expression
    over names, or None; None where the rank is unknown. data: its elements, where they
    are constant. sizes: elements of an integer that follow from shapes alone.
    """

    name: str
    dtype: str
    shape: tuple[Size | None, ...] | None = None
    data: NDArray[Any] | None = None
    sizes: tuple[Size | None, ...] | None = None

    @property
    def rank(self) -> int | None:
        """The number of axes, where it is known."""
        return None if self.shape is None else len(self.shape)

    @property
    def known(self) -> tuple[int, ...] | None:
        """The shape, where all of it is numbers."""
        if self.shape is None:
            return None
        numbers = tuple(n for n in self.shape if isinstance(n, int))
        return numbers if len(numbers) == len(self.shape) else None

    @staticmethod
    def constant(name: str, data: NDArray[Any]) -> Value:
        """A value whose elements are known."""
        return Value(name, str(data.dtype), tuple(data.shape), np.asarray(data))


Attribute: TypeAlias = "float | str | Sequence[float] | Value"


@dataclass(eq=False)
class Node:
    """One operation. dtypes: the operator's variant; empty for the graph's own.

    place: what errors call the node of the file that it does work of.
    """

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ()
    regions: list[Graph] = field(default_factory=list)
    place: str = ""

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value

    def reads(self) -> list[Value]:
        """Inputs that are given, and attributes that are values."""
        given = [v for v in self.inputs if v is not None]
        return given + [v for v in self.attributes.values() if isinstance(v, Value)]


@dataclass(eq=False)
class Graph:
    """A model, or a region of a node. sizes: least and greatest of each named size.

    halves: the file computes in 16 bits, and we in float32.
    """

    name: str
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    halves: bool = False

    def users(self) -> dict[Value, list[Node]]:
        """Nodes that read a value."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.reads()):
                found.setdefault(value, []).append(node)
        return found

    def producers(self) -> dict[Value, Node]:
        """The node that writes a value."""
        return {value: node for node in self.nodes for value in node.outputs}

    def remove_dead(self) -> None:
        """Drop nodes that no output needs."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.reads())
                kept.append(node)
        self.nodes = kept[::-1]
