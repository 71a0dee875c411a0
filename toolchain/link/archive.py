"""Archive: objects become one deterministic static library, by llvm-ar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolchain.process.command import run, tool
from toolchain.records.replace import fresh


def archive(members: Iterable[Path], out: Path) -> None:
    """Write an archive of exactly these members, sorted by name.

    It is written afresh, so that a deleted operator leaves; `D` leaves out times
    and owners, so that equal members are equal bytes.
    """
    with fresh(out) as new:
        run([*tool("LLVM_AR"), "rcsD", new, *sorted(members, key=lambda p: p.name)])
