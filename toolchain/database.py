"""Database: doit's record of what was built, replaced whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from doit.dependency import JsonDB


def make_atomic() -> None:
    """Let doit's JSON backend replace its file, so that a full disk leaves the old one.

    It truncates the file before it writes, and then cannot read it again. A backend
    of our own would be found only by a doit that is run in the project's folder.
    """
    JsonDB.dump = _dump


def _dump(self: Any) -> None:
    path = Path(self.name)
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # `doit clean` removes it
        fresh.write_text(self.codec.encode(self._db))
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        sys.exit(
            f"error: {fresh}: {error.strerror}; the next build does again what "
            "this one did"
        )
