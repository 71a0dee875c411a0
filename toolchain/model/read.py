"""Read: a model file as a graph of operators, by its suffix."""

from __future__ import annotations

from pathlib import Path

from toolchain.codegen.operators import loaded_operators
from toolchain.frontends import Given, mindir
from toolchain.frontends.graphs import GraphModel, read_graph
from toolchain.graph.operators import FOLDERS
from toolchain.records.definitions import REFERENCE
from toolchain.records.slices import root_in


def read(path: Path, given: Given) -> tuple[GraphModel, tuple[str, ...]]:
    """The graph of a file, and roots of the operators that reading it asked."""
    reader = mindir.read if path.suffix == ".mindir" else read_graph
    return reader(path, given), operator_roots()


def operator_roots() -> tuple[str, ...]:
    """Roots of all operators that this process has loaded, and of their references.

    These compute constants while a model is built.
    """
    files = loaded_operators(FOLDERS)
    return tuple(root_in(f, name) for f in files for name in ("KERNEL", REFERENCE))
