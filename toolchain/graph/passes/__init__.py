"""Passes: a graph as frontends write it becomes what the library runs fastest."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.graph.graph import Graph
from toolchain.graph.passes import chains, layout, products

Pass = Callable[[Graph], None]
PASSES: dict[str, Pass] = {
    "products": products.pack,
    "layout": layout.to_channels_last,
    "chains": chains.join,
}


def optimise(graph: Graph) -> None:
    """Run all passes over a graph and its regions, in order."""
    for node in graph.nodes:
        for region in node.regions:
            optimise(region)
    for run in PASSES.values():
        run(graph)
        graph.remove_dead()
