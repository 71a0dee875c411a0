"""Views: transposes that move no element only move axes of size 1, at no cost."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.graph.graph import SQUEEZE, UNSQUEEZE, Attribute, Graph, Node, Value


def of_transposes(graph: Graph) -> None:
    """Replace transposes that only move axes of size 1."""
    graph.nodes = [made for n in graph.nodes for made in _views(n) or [n]]


def _views(node: Node) -> list[Node]:
    """Without the axes of size 1, then with them in their new places; or nothing."""
    shape = node.inputs[0].shape if node.op == "transpose" and node.inputs[0] else None
    if shape is None:
        return []
    perm = node.attributes.get("perm") or range(len(shape))[::-1]
    assert isinstance(perm, Sequence)
    axes = [int(a) % len(shape) for a in perm]
    moved = [a for a in axes if shape[a] != 1]
    if moved != sorted(moved):
        return []
    ones = [a for a in axes if shape[a] == 1]
    source, made = node.inputs, []
    if ones:  # a squeeze of no axes would take all that turn out to be 1
        name = f"{node.output.name}_squeezed"
        rest = Value(name, node.output.dtype, tuple(shape[a] for a in moved))
        before: dict[str, Attribute] = {"axes": sorted(ones)}
        made = [Node(SQUEEZE, source, [rest], before, place=node.place)]
        source = [rest]
    after: dict[str, Attribute] = {"axes": [i for i, a in enumerate(axes) if a in ones]}
    return [*made, Node(UNSQUEEZE, source, node.outputs, after, place=node.place)]
