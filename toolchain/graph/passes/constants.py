"""Constants: what only depends on constants, and no pass took, is computed."""

from __future__ import annotations

from toolchain.graph.graph import Graph, Node, Value
from toolchain.graph.references import folded
from toolchain.graph.shapes import infer


def fold(graph: Graph) -> None:
    """Compute weights that are still dequantized, and what is made of them."""
    known: dict[Value, Value] = {}
    kept, nodes = set(graph.outputs), []
    for node in graph.nodes:
        changed = _with(node, known)
        found = folded(node) if changed or _is_weight(node) else None
        if found is None or kept.intersection(node.outputs):
            if changed:
                infer(node)
            nodes.append(node)
        else:
            known |= dict(zip(node.outputs, found, strict=True))
    graph.nodes = nodes


def _is_weight(node: Node) -> bool:
    return node.op == "dequantize_linear"


def _with(node: Node, known: dict[Value, Value]) -> bool:
    """Let a node read constants in place of values; whether it reads any."""
    if not known.keys() & set(node.reads()):
        return False
    node.inputs = [v and known.get(v, v) for v in node.inputs]
    node.attributes = {
        n: known.get(v, v) if isinstance(v, Value) else v
        for n, v in node.attributes.items()
    }
    return True
