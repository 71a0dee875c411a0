"""Where modules are: in the package, or in the build of a source checkout."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ops_wasm32.errors import ArgumentError, ModuleError
from ops_wasm32.instance import RefusedError
from ops_wasm32.library import Library
from ops_wasm32.module import ModuleFile
from ops_wasm32.tables import TARGETS

_PACKAGE = Path(__file__).resolve().parent
_MODULE = "ops_wasm32.wasm"


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
        return _loaded(Path(path))
    if target is not None and target not in TARGETS:
        raise ArgumentError(f"target {target!r} is unknown; use {', '.join(TARGETS)}")
    folder = _folder()
    if target is not None:
        return _loaded(folder / target / _MODULE, target)
    for name in TARGETS:
        found = folder / name / _MODULE
        if found.is_file():
            with suppress(RefusedError):
                return _loaded(found, name)
    raise ModuleError(f"the engine takes none of the modules in {folder}")


def _loaded(path: Path, bundled: str | None = None) -> Library:
    with ModuleFile(path) as file:
        return Library(file, path, bundled)


def checkout() -> Path | None:
    """The folder of the project that this package is part of; None: of a wheel."""
    root = _PACKAGE.parents[2]
    return root if (root / "dodo.py").is_file() else None


def _folder() -> Path:
    """Folder that holds <target>/ops_wasm32.wasm."""
    root = checkout()
    folder = root / "build" if root else _PACKAGE / "wasm"
    if any((folder / name / _MODULE).is_file() for name in TARGETS):
        return folder
    todo = f"run `doit build` in {root}" if root else "install the wheel anew"
    raise ModuleError(f"no ops_wasm32.wasm in {folder}; {todo}, or give a path")
