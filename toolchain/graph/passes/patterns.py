"""Patterns: what exporters write in several nodes and the library has as one.

A pattern is a tree: ("mul", "x", ("sigmoid", "x")). A text is any value, the same at
each place; a number a constant of that value; Named gives a name to what a tree makes.
The operands of operators that commute may stand in either order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import numpy as np

from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.shapes import infer

Branch: TypeAlias = tuple["Tree", ...]  # an operator, then its operands
Tree: TypeAlias = "str | float | Named | Branch"
Found: TypeAlias = dict[str, Value]
COMMUTE = ("add", "mul")


@dataclass(frozen=True)
class Named:
    """A tree whose result has a name."""

    name: str
    tree: Tree


@dataclass(frozen=True)
class Pattern:
    """A tree, and the node that does the same. make: None where it does not fit."""

    tree: Branch
    make: Callable[[Found, Node], Node | None]


def fold(graph: Graph) -> None:
    """Replace what patterns match, the largest first."""
    for pattern in PATTERNS:
        matcher = _Matcher(graph)
        for i, node in enumerate(graph.nodes):
            if node.op != pattern.tree[0]:
                continue
            found = matcher.match(node, pattern.tree)
            made = None if found is None else pattern.make(found, node)
            if made is not None:
                graph.nodes[i] = made
        graph.remove_dead()


class _Matcher:
    def __init__(self, graph: Graph) -> None:
        self.makers = graph.producers()

    def match(self, node: Node, tree: Branch) -> Found | None:
        """What the names of a tree are, where a node is it."""
        return self._node(node, tree, {})

    def _node(self, node: Node, tree: Branch, found: Found) -> Found | None:
        op, *operands = tree
        inputs = [v for v in node.inputs if v is not None]
        if node.op != op or len(inputs) < len(operands):
            return None
        if op == "reduce_mean" and not _is_last(node):
            return None
        orders = [operands]
        if op in COMMUTE:
            orders.append(operands[::-1])
        for order in orders:
            result: Found | None = dict(found)
            for value, part in zip(inputs, order, strict=False):
                result = None if result is None else self._value(value, part, result)
            if result is not None:
                return result
        return None

    def _value(self, value: Value, tree: Tree, found: Found) -> Found | None:
        if isinstance(tree, str):
            known = found.setdefault(tree, value)
            return found if known is value else None
        if isinstance(tree, (int, float)):
            return found if _is_number(value, tree) else None
        if isinstance(tree, Named):
            if tree.name in found:
                return found if found[tree.name] is value else None
            inner = self._value(value, tree.tree, found)
            return None if inner is None else {**inner, tree.name: value}
        maker = self.makers.get(value)
        return None if maker is None else self._node(maker, tree, found)


def _is_number(value: Value, number: float) -> bool:
    data = value.data
    if data is None or data.size != 1:
        return False
    return bool(np.isclose(float(data.item()), number, rtol=1e-5, atol=0))


def _made(
    node: Node, op: str, inputs: Sequence[Value | None], **attributes: Attribute
) -> Node:
    """A node in place of another one, whose result has the axes of its first input.

    A constant of more axes would have given it more.
    """
    if any(v is not None and v.dtype != "float32" for v in inputs):
        return node
    x, rank = inputs[0], node.output.rank
    if x is None or rank is None or x.rank != rank:
        return node
    made = Node(
        op, list(inputs), node.outputs, attributes, ("float32",), place=node.place
    )
    infer(made)
    return made


def _unary(op: str, **attributes: Attribute) -> Callable[[Found, Node], Node | None]:
    return lambda found, node: _made(node, op, [found["x"]], **attributes)


def _is_last(mean: Node) -> bool:
    """Whether a mean is along the last axis alone, which it keeps."""
    axes, x = mean.attributes.get("axes", ()), mean.inputs[0]
    last = None if x is None or x.rank is None else x.rank - 1
    alone = isinstance(axes, Sequence) and list(axes) in ([-1], [last])
    return alone and mean.attributes.get("keepdims", 1) == 1


def _normalization(found: Found, node: Node) -> Node | None:
    """Normalization of the last axis, by constants of one axis."""
    x, scale, bias = found["x"], found["scale"], found.get("bias")
    epsilon = found["epsilon"].data
    if epsilon is None or epsilon.size != 1 or x.rank is None:
        return None
    parameters = [scale] if bias is None else [scale, bias]
    rows = [v.data for v in parameters]
    if any(d is None or d.ndim != 1 for d in rows):
        return None
    if any(d.shape != (x.shape or (None,))[-1:] for d in rows if d is not None):
        return None
    op = "rms_normalization" if bias is None else "layer_normalization"
    return _made(node, op, [x, *parameters], axis=-1, epsilon=float(epsilon.item()))


_CENTRED = Named("d", ("sub", "x", ("reduce_mean", "x")))
_SQUARES = (("pow", "d", 2.0), ("mul", "d", "d"))
_ROOTS = tuple(
    ("sqrt", ("add", ("reduce_mean", square), "epsilon")) for square in _SQUARES
)
_RMS = tuple(
    ("sqrt", ("add", ("reduce_mean", square), "epsilon"))
    for square in (("pow", "x", 2.0), ("mul", "x", "x"))
)


def _layer_norms() -> list[Pattern]:
    trees = []
    for root in _ROOTS:
        for quotient in (
            ("div", _CENTRED, root),
            ("mul", _CENTRED, ("reciprocal", root)),
            ("mul", _CENTRED, ("div", 1.0, root)),
        ):
            trees.append(("add", ("mul", quotient, "scale"), "bias"))
    return [Pattern(t, _normalization) for t in trees]


def _rms_norms() -> list[Pattern]:
    trees = []
    for root in _RMS:
        for quotient in (
            ("div", "x", root),
            ("mul", "x", ("reciprocal", root)),
            ("mul", "x", ("div", 1.0, root)),
        ):
            trees.append(("mul", quotient, "scale"))
    return [Pattern(t, _normalization) for t in trees]


def _gelus() -> list[Pattern]:
    half = sqrt(0.5)
    grown = [
        ("add", ("erf", inner), 1.0)
        for inner in (("div", "x", sqrt(2)), ("mul", "x", half))
    ]
    trees: list[Branch] = []
    for g in grown:
        trees += [
            ("mul", ("mul", "x", g), 0.5),
            ("mul", "x", ("mul", g, 0.5)),
            ("mul", ("mul", "x", 0.5), g),
        ]
    cubes = (("pow", "x", 3.0), ("mul", ("mul", "x", "x"), "x"))
    tanhs: list[Branch] = []
    for cube in cubes:
        inner = ("add", "x", ("mul", cube, 0.044715))
        tanh = ("add", ("tanh", ("mul", inner, sqrt(2 / np.pi))), 1.0)
        tanhs += [
            ("mul", ("mul", "x", tanh), 0.5),
            ("mul", "x", ("mul", tanh, 0.5)),
            ("mul", ("mul", "x", 0.5), tanh),
        ]
    return [
        *(Pattern(t, _unary("gelu", approximate="none")) for t in trees),
        *(Pattern(t, _unary("gelu", approximate="tanh")) for t in tanhs),
    ]


PATTERNS: list[Pattern] = [
    *_layer_norms(),
    *_rms_norms(),
    *_gelus(),
    Pattern(("mul", "x", ("sigmoid", "x")), _unary("silu")),
]
