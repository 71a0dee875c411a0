"""Mapped: large constants live in files that are mapped, and in no memory of ours.

The system writes them out where memory is short. The files have no names: they go when
nothing refers to them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.abi import ALIGNMENT

LEAST = 1 << 16  # bytes: smaller arrays stay where they are
_FILE = 1 << 26  # bytes of a file, unless one array has more


class _Files:
    """Where the next array goes; not in what a process before a fork has mapped."""

    def __init__(self) -> None:
        self.process, self.used = 0, 0
        self.map: mmap.mmap | None = None

    def room(self, size: int) -> tuple[mmap.mmap, int]:
        """A map and an offset in it for so many bytes."""
        fits = self.map is not None and self.used + size <= len(self.map)
        if self.process != os.getpid() or not fits:
            with tempfile.TemporaryFile() as file:
                file.truncate(max(size, _FILE))
                self.map = mmap.mmap(file.fileno(), 0)
            self.process, self.used = os.getpid(), 0
        assert self.map is not None
        at, self.used = self.used, self.used - (-size // ALIGNMENT) * ALIGNMENT
        return self.map, at


_FILES = _Files()


def mapped(data: NDArray[Any]) -> NDArray[Any]:
    """An array with the same elements, in a mapped file where it is large."""
    if data.nbytes < LEAST or _is_mapped(data):
        return data
    room, at = _FILES.room(data.nbytes)
    found = np.frombuffer(room, data.dtype, data.size, at).reshape(data.shape)
    found[...] = data
    return found


def _is_mapped(data: NDArray[Any]) -> bool:
    """Whether an array is a part of a map already, without its elements' order."""
    base: Any = data
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return isinstance(base, mmap.mmap)
