"""Passes: what turns a graph that the frontends read into kernels, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from toolchain.model import fold, layout, products, quantized, relaxed, select
from toolchain.model.graph import Graph
from toolchain.model.verify import verify
from toolchain.targets import Target


def to_kernels(
    graph: Graph,
    module: Any,
    target: Target,
    winograd: bool = False,
    places: Mapping[str, str] = MappingProxyType({}),
    after: Callable[[Graph, str], None] = verify,
) -> Graph:
    """The graph with a kernel or a view for each node.

    module: what the graph was read from, for functions that its calls name.
    target: what formulas of elements are written for.
    places: what errors call the nodes of the file, by the names of values.
    after: called with the graph after each pass. Errors: SpecError.
    """
    integers = quantized.Quantized(graph)  # which sees weights before they are floats
    passes: dict[str, Callable[[], Graph | None]] = {
        "from_relax": graph.remove_dead,
        "fold": lambda: fold.fold_constants(graph),
        "quantized": integers.fuse,
        "products": lambda: products.fuse(graph),
        "layout": lambda: layout.to_channels_last(graph),
        "select": lambda: select.select(graph, winograd),
        "relaxed": lambda: relaxed.lower_rest(graph, module, places, target),
    }
    for name, run in passes.items():
        graph = run() or graph
        after(graph, name)
    return graph
