"""Fold: what depends on constants alone is computed now."""

from __future__ import annotations

from typing import Any

from toolchain.model.formulas import is_elementwise
from toolchain.model.graph import Graph, Node, Value
from toolchain.model.relaxed import Writer


def fold_constants(graph: Graph, module: Any) -> None:
    """Replace nodes over constants by their results.

    module: the one that the graph came from, for functions that its calls name.
    """
    known: set[Value] = set()
    folded: list[Node] = []
    for node in graph.nodes:
        if not is_elementwise(node) and all(
            v.data is not None or v in known for v in node.inputs
        ):
            known.update(node.outputs)
            folded.append(node)
    if not folded:
        return
    graph.nodes = [n for n in graph.nodes if n not in folded]
    users = graph.users()
    wanted = [v for n in folded for v in n.outputs if v in users or v in graph.outputs]
    part = Graph("folded", [], wanted, folded)
    part.remove_dead()
    for value, data in zip(wanted, _evaluate(part, module), strict=True):
        value.data = data


def _evaluate(graph: Graph, module: Any) -> list[Any]:
    import tvm
    from tvm import relax

    text = Writer(graph, module, {}).write()
    machine = relax.VirtualMachine(tvm.compile(text, target="llvm"), tvm.cpu())
    result = machine["main"]()
    several = len(graph.outputs) > 1
    return [t.numpy() for t in (result if several else [result])]
