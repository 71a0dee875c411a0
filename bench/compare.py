"""Rows that became slower: the libraries of two builds side by side.

`doit bench compare FOLDER [operators]` takes the folder of a build, made of other
sources, say. Both libraries run in wasmtime, a row of one right after the same row of
the other, many times; a row's figure is the median of its rounds' ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import ops_wasm32

from bench.errors import BuildError
from bench.library import Wasmtime, make_call
from bench.measure import Participant, timed
from bench.row import TARGETS, Row


class Host(Protocol):
    """What runs a prepared call."""

    def run(self, n: int) -> float:
        """Seconds of n calls."""


SLOWER = 1.03
_AGAIN = 3  # how often a row that seems slower is measured anew


def compare(build: Path, other: Path, rows: list[Row]) -> list[str]:
    """Measure rows of two builds and print them; what became slower, as lines."""
    slower = []
    for target in TARGETS:
        pair = [_library(folder, target) for folder in (build, other)]
        hosts = [Wasmtime(path) for path in pair]
        libraries = [ops_wasm32.load(path) for path in pair]
        for row in rows:
            found = _row(row, libraries, hosts)
            line = f"{found:6.3f}  {target:13} {row.name}"
            print(line, flush=True)
            if found > SLOWER:
                slower.append(line)
    print(f"{len(slower)} of {len(rows) * len(TARGETS)} rows take more than {SLOWER} x")
    return slower


def _library(build: Path, target: str) -> Path:
    path = build / target / "ops_wasm32.wasm"
    if not path.exists():
        raise BuildError(f"{path} is missing; give the folder of a whole build")
    return path


def _row(row: Row, libraries: list[ops_wasm32.Library], hosts: list[Wasmtime]) -> float:
    """Our time by the other's; the least of some tries where it seems slower."""
    case = row.make()
    for library, host in zip(libraries, hosts, strict=True):
        host.prepare(make_call(library, case.ours))
    least = float("inf")
    for _ in range(1 + _AGAIN):
        least = min(least, ratio(hosts))
        if least <= SLOWER:
            break
    return least


def ratio(hosts: Sequence[Host]) -> float:
    """Time of the first host divided by time of the second: the median of rounds."""
    ours, other = (Participant(host.run, 1) for host in hosts)
    timed([ours, other])
    return median(a / b for a, b in zip(ours.seconds, other.seconds, strict=True))
