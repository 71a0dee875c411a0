"""Random tries of what must hold for any input: `doit fuzz`.

Each kind is a module with `run(seeds, build)`: it tries one case for each seed and
gives, for those that failed, the seed and what was wrong. A seed gives the same case
each time, so that `--seed N --count 1` repeats it.
"""

from __future__ import annotations

from pathlib import Path

from toolchain.targets import TARGETS


def library(build: Path, target: str) -> Path:
    """The module of a target in a build."""
    return build / target / "ops_wasm32.wasm"


def targets(build: Path) -> list[str]:
    """The targets that a build holds, which cases take by turns."""
    return [target for target in TARGETS if library(build, target).exists()]
