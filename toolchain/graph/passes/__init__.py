"""Passes: a graph as frontends write it becomes what the library runs fastest."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.graph.graph import Graph
from toolchain.graph.passes import (
    chains,
    constants,
    layout,
    patterns,
    products,
    quantized,
    quantized_elements,
    views,
    winograd,
)
from toolchain.graph.verify import verify

Pass = Callable[[Graph], None]
PASSES: dict[str, Pass] = {
    "patterns": patterns.fold,
    "moves": quantized_elements.through_moves,
    "quantized": quantized.to_integers,
    "constants": constants.fold,
    "elements": quantized_elements.to_elements,
    "products": products.pack,
    "winograd": winograd.transform,
    "layout": layout.to_channels_last,
    "views": views.of_transposes,
    "chains": chains.join,
}


def optimise(graph: Graph, by_winograd: bool = False) -> None:
    """Run all passes over a graph and its regions, in order; each is verified.

    by_winograd: convolutions that suit take fewer multiplications, and round more.

    Errors: SpecError where a frontend or a pass has made a mistake.
    """
    verify(graph, "the frontend")
    for name, run in PASSES.items():
        if by_winograd or name != "winograd":
            _everywhere(graph, run)
            verify(graph, name)


def _everywhere(graph: Graph, run: Pass) -> None:
    for node in graph.nodes:
        for region in node.regions:
            _everywhere(region, run)
    run(graph)
    graph.remove_dead()
