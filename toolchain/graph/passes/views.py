"""Views: transposes that move no element are reshapes, which cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.graph.graph import RESHAPE, Attribute, Graph, Node


def of_transposes(graph: Graph) -> None:
    """Replace transposes that only move axes of size 1."""
    graph.nodes = [_view(n) or n for n in graph.nodes]


def _view(node: Node) -> Node | None:
    shape = node.inputs[0].shape if node.op == "transpose" and node.inputs[0] else None
    if shape is None:
        return None
    perm = node.attributes.get("perm") or range(len(shape))[::-1]
    assert isinstance(perm, Sequence)
    axes = [int(a) % len(shape) for a in perm]
    moved = [a for a in axes if shape[a] != 1]
    if moved != sorted(moved):
        return None
    # A size is copied by 0 where it stays in its place; one other may be open.
    sizes = [0 if i == a else shape[a] for i, a in enumerate(axes)]
    known = [n if isinstance(n, int) else -1 for n in sizes]
    if known.count(-1) > 1:
        return None
    attributes: dict[str, Attribute] = {"allowzero": 0, "shape": known}
    return Node(RESHAPE, node.inputs, node.outputs, attributes, (), place=node.place)
