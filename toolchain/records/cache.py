"""Cache: a folder of objects, with their records, that any number of builds share.

What was used last stays; beyond a limit the rest goes, when nobody uses the folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toolchain.records.made import Made

# Bytes of objects in a folder. There is a folder per target: 1 GiB in all. The models
# of models/ need 6 MB; ten thousand kernels more are years of editing them.
LIMIT = 256 << 20


@contextmanager
def in_use(folder: Path, limit: int = LIMIT) -> Iterator[None]:
    """Keep all objects of a cache meanwhile; then, unless others do so too, trim it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _trim(folder, limit)


def use(entry: Made) -> None:
    """Say that an object was used, in the time of its record."""
    os.utime(entry.record)


def _trim(folder: Path, limit: int) -> None:
    """Remove the objects that were not used for longest, until the others fit."""
    entries = [Made((path,), ()) for path in folder.glob("*.o")]
    sizes = [entry.outputs[0].stat().st_size for entry in entries]
    excess = sum(sizes) - limit
    for entry, size in sorted(zip(entries, sizes, strict=True), key=_last_use):
        if excess <= 0:
            break
        # The record first: without it an object is not taken for whole.
        entry.record.unlink(missing_ok=True)
        entry.outputs[0].unlink()
        excess -= size


def _last_use(sized: tuple[Made, int]) -> float:
    """Time of the record; 0 without a record, which a killed build leaves behind."""
    entry, _ = sized
    return entry.record.stat().st_mtime if entry.record.exists() else 0.0
