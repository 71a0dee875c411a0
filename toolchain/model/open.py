"""Open: a model file becomes a module that leaves sizes to each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.codegen.operators import loaded_operators
from toolchain.frontends import Given, mindir
from toolchain.frontends.graphs import GraphModel, read_graph
from toolchain.graph.build import Place, build_graph
from toolchain.graph.operators import FOLDERS
from toolchain.model.build import Options, limits_for
from toolchain.process import confined
from toolchain.records.definitions import REFERENCE
from toolchain.records.slices import root_in
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
    place.code.update(code, _operators())
    return manifest


def read_graph_of(path: Path, options: Options) -> tuple[GraphModel, tuple[str, ...]]:
    """As read, in a process of its own: a file may hold anything. Errors: SpecError."""
    import tvm  # noqa: F401  # before the fork, so that it is imported once

    given = Given(options.shapes, options.dims, options.values)
    limits = limits_for(path, options)
    return confined.run(str(path), partial(read, path, given), limits)


def read(path: Path, given: Given) -> tuple[GraphModel, tuple[str, ...]]:
    """A model file as a graph, by its suffix; roots of the operators that it asked."""
    reader = mindir.read if path.suffix == ".mindir" else read_graph
    return reader(path, given), _operators()


def _operators() -> tuple[str, ...]:
    files = loaded_operators(FOLDERS)
    return tuple(root_in(f, name) for f in files for name in ("KERNEL", REFERENCE))
