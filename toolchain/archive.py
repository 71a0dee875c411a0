"""Archive: objects become one deterministic static library, by llvm-ar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolchain.command import run, tool


def archive(members: Iterable[Path], out: Path) -> None:
    """Write an archive of exactly these members, sorted by name.

    It is written afresh, so that a deleted operator leaves; `D` leaves out times
    and owners, so that equal members are equal bytes.
    """
    out.unlink(missing_ok=True)
    fresh = out.with_suffix(".a.new")
    fresh.unlink(missing_ok=True)
    run([*tool("LLVM_AR"), "rcsD", fresh, *sorted(members, key=lambda p: p.name)])
    fresh.replace(out)
