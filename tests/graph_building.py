"""What tests of models of any shape need: a graph or a file becomes a module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ops_wasm32
from abi import TARGET, runtime_objects

from toolchain.frontends import Given
from toolchain.frontends.graphs import read_graph
from toolchain.graph.build import Place, build_graph
from toolchain.graph.graph import Graph
from toolchain.profile import ROOT, full_profile
from toolchain.records.made import Made
from toolchain.targets import TARGETS
from toolchain.tasks.library import current_objects


@cache
def ready(target: str) -> dict[str, Made]:
    """Objects of operators that the build has."""
    return current_objects(full_profile(), target)


def module_of(
    graph: Graph, folder: Path, target: str = TARGET, external: bool = False
) -> Path:
    """The module of a graph, in a folder."""
    cache_folder = ROOT / "build" / "cache" / target
    place = Place(folder, cache_folder, ready=ready(target))
    runtime = runtime_objects(target)
    build_graph(graph, TARGETS[target], place, runtime, lambda _: None, external)
    return folder / f"{graph.name}.wasm"


def model_of(
    file: Path, given: Given | None = None, target: str = TARGET
) -> ops_wasm32.Library:
    """The module of an ONNX file, beside it, loaded."""
    model = read_graph(file, given or Given())
    return ops_wasm32.load(module_of(model.graph, file.parent, target))
