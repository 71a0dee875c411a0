"""Where modules are: in the package, or in the build of a source checkout."""

from __future__ import annotations

import os
from pathlib import Path

from ops_wasm32.errors import ArgumentError, ModuleError
from ops_wasm32.instance import accepts
from ops_wasm32.library import Library
from ops_wasm32.module import read_module
from ops_wasm32.tables import TARGETS

_PACKAGE = Path(__file__).resolve().parent


def load(
    path: str | os.PathLike[str] | None = None, target: str | None = None
) -> Library:
    """Load a module: the file at path, else the bundled one for a target.

    target: one of TARGETS; None takes the best that the engine accepts.
    """
    if path is not None and target is not None:
        raise ArgumentError("give either path or target")
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(
                f"path is a {type(path).__name__}; give text or a pathlib.Path"
            )
        return Library(read_module(Path(path)), Path(path))
    if target is not None and target not in TARGETS:
        raise ArgumentError(f"target {target!r} is unknown; use {', '.join(TARGETS)}")
    folder = _folder()
    if target is not None:
        found = folder / target / "ops_wasm32.wasm"
        return Library(read_module(found), found)
    for name in TARGETS:
        found = folder / name / "ops_wasm32.wasm"
        if found.is_file() and accepts(data := read_module(found)):
            return Library(data, found)
    raise ModuleError(f"the engine takes none of the modules in {folder}")


def _folder() -> Path:
    """Folder that holds <target>/ops_wasm32.wasm."""
    root = _PACKAGE.parents[2]
    checkout = (root / "dodo.py").is_file()
    folder = root / "build" if checkout else _PACKAGE / "wasm"
    if any((folder / name / "ops_wasm32.wasm").is_file() for name in TARGETS):
        return folder
    todo = f"run `doit build` in {root}" if checkout else "install the wheel anew"
    raise ModuleError(f"no ops_wasm32.wasm in {folder}; {todo}, or give a path")
