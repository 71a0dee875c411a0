"""Replace: outputs appear whole or not at all, whatever ends a build."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fresh(path: Path) -> Iterator[Path]:
    """A path of this process, to write instead of `path`; at the end it replaces it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _own(path)
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a file whole, or not at all."""
    with fresh(path) as new:
        new.write_bytes(data)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder of this process, for files that nobody else is to see."""
    folder = _own(parent / "scratch")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own(path: Path) -> Path:
    """`.<process>.<name>` beside a path; what ended processes left is removed."""
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            _, process, name = (*other.name.split(".", 2), "", "")[:3]
            if name == path.name and process.isdigit() and not _alive(int(process)):
                shutil.rmtree(other, ignore_errors=True)
                other.unlink(missing_ok=True)
    return path.with_name(f".{os.getpid()}.{path.name}")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
