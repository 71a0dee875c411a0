"""Database: doit's record of what was built, replaced whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

from doit.dependency import JsonDB


class AtomicJsonDB(JsonDB):  # type: ignore[misc]  # doit has no types
    """doit's JSON backend, but a full disk or an interruption leaves the old file.

    doit's own truncates the file before it writes, and then cannot read it again.
    """

    def dump(self) -> None:
        """Save the records."""
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
