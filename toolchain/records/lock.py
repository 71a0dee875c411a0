"""Lock: one build at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO


class Lock:
    """Held by this process from `take` to `release`, or until it ends in any way."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self.file: IO[str] | None = None

    def take(self, say: Callable[[str], None]) -> None:
        """Wait until no other process has it, and say for what.

        Where no file can be written there is nothing to lock: what is to be built
        fails by itself, with its own reason.
        """
        while self.file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = self.path.open("a+")
            except OSError:
                return
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                say(
                    f"waiting: process {file.read().strip() or '?'} builds in "
                    f"{self.path.parent}\n"
                )
                fcntl.lockf(file, fcntl.LOCK_EX)
            # `doit clean` removes the folder, with what others wait for.
            if self._is(file):
                self.file = file
            else:
                file.close()
        self.file.truncate(0)
        self.file.write(f"{os.getpid()}\n")
        self.file.flush()

    def _is(self, file: IO[str]) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others build."""
        if self.file:
            self.file.close()
            self.file = None
