"""Open: a model file becomes a module that leaves sizes to each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.frontends import Given
from toolchain.frontends.graphs import GraphModel
from toolchain.graph.build import Place, build_graph
from toolchain.model.build import Options, limits_for
from toolchain.model.read import operator_roots, read
from toolchain.process import confined
from toolchain.spec import SpecError


def build_open(
    path: Path,
    options: Options,
    place: Place,
    runtime: Sequence[Path],
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write <name>.wasm, weights where external, <name>.manifest.json; the latter.

    A process of its own reads the file: see confined. Errors: SpecError for a model
    that cannot be built, with every reason at once.
    """
    model, code = read_graph_of(path, options)
    if model.graph.sizes:
        show(f"open sizes: {', '.join(model.graph.sizes)}")
    for note in model.notes:
        show(note)
    target, how = options.built_for(), (options.external, options.winograd)
    try:
        manifest = build_graph(model.graph, target, place, runtime, show, *how)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    place.code.update(code, operator_roots())
    return manifest


def read_graph_of(path: Path, options: Options) -> tuple[GraphModel, tuple[str, ...]]:
    """As read, in a process of its own: a file may hold anything. Errors: SpecError."""
    import tvm  # noqa: F401  # before the fork, so that it is imported once

    given = Given(options.shapes, options.dims, options.values)
    limits = limits_for(path, options)
    return confined.run(str(path), partial(read, path, given), limits)
