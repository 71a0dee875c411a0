"""States: whether a file was written since it was looked at, and what was found then.

To hash and parse all that a build follows from takes a second, and to ask whether it
was written since takes milliseconds. So what was found is kept with the states of the
files that it was found in. It only saves time: where a state differs, or what was kept
is missing or damaged, the files are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolchain.records.replace import write

State = tuple[int, ...]
_STARTED = time.time_ns()
# Of two writes within a tick of a file system's clock, the second changes no state: a
# file is trusted to show a write when its last one is older than that (FAT: 2 s).
_TICK = 2_000_000_000
_READERS = ("definitions", "slices", "states")
_C = (".c", ".h")
_INCLUDE = re.compile(r'^ *# *include +"([^"]+)"', re.M)
_NOTHING: tuple[State, str, list[str]] = ((), "", [])


def state(path: str | Path) -> State:
    """What changes when a file or a folder is written, even with what it held."""
    try:
        s = os.stat(path)
    except OSError:
        return ()
    return s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino


def settled(states: Iterable[State]) -> bool:
    """Whether files with these states were last written well before this process."""
    return all(max(at[:2], default=0) < _STARTED - _TICK for at in states)


def load(path: Path) -> dict[str, Any]:
    """What was kept; nothing where it is missing, damaged or of another reader."""
    try:
        stamp, _, content = path.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, Any] = json.loads(content) if stamp == _stamp(content) else {}
    return found


def save(path: Path, found: Mapping[str, object]) -> None:
    """Keep what was found."""
    content = json.dumps(found, sort_keys=True)
    with suppress(OSError):
        write(path, f"{_stamp(content)}\n{content}".encode())


def _stamp(content: str) -> str:
    """The first line of what is kept: what reads files decides what is found."""
    readers = (Path(__file__).with_name(f"{name}.py") for name in _READERS)
    parts = [*(reader.read_bytes() for reader in readers), content.encode()]
    hashes = " ".join(hashlib.sha256(part).hexdigest() for part in parts)
    return hashlib.sha256(f"{sys.version} {hashes}".encode()).hexdigest()


class Contents:
    """What is in files: a hash, and of C the names that it includes in quotes.

    kept: a file for what is found in files that are not being written.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self.kept = kept
        self.found: dict[str, tuple[State, str, list[str]]] = {}
        self.fresh = False
        for path, (at, hashed, names) in (load(kept) if kept else {}).items():
            self.found[path] = tuple(at), hashed, names

    def hash_of(self, path: Path) -> str:
        """SHA-256; "" where there is no file."""
        return self._look(path)[1]

    def included(self, path: Path) -> list[str]:
        """Names that a file includes if it is C."""
        return self._look(path)[2]

    def _look(self, path: Path) -> tuple[State, str, list[str]]:
        name, at = str(path), state(path)
        known = self.found.get(name)
        if not at or (known and known[0] == at):
            return known if at and known else _NOTHING
        with path.open("rb") as file:
            hashed = hashlib.file_digest(file, "sha256").hexdigest()
        names = _INCLUDE.findall(path.read_text()) if path.suffix in _C else []
        self.found[name] = at, hashed, names
        self.fresh = True
        return self.found[name]

    def keep(self) -> None:
        """Keep what was found in files that are still as they were."""
        if self.kept and self.fresh:
            lasting = {
                name: found
                for name, found in self.found.items()
                if settled([found[0]]) and state(name) == found[0]
            }
            save(self.kept, lasting)
            self.fresh = False
