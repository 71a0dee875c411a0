"""Run kinds of fuzzing: python -m fuzz --kind calls --seed 1 --count 100."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ops_wasm32.arguments import Parser, natural

from fuzz import allocator, arguments, calls, files, kills, models, values
from toolchain.profile import ROOT

Run = Callable[[Iterable[int], Path], Iterator[tuple[int, str]]]
# With the cases of a run that names no count: about a minute each.
KINDS: dict[str, tuple[Run, int]] = {
    "arguments": (arguments.run, 3000),
    "calls": (calls.run, 500),
    "values": (values.run, 500),
    "allocator": (allocator.run, 50),
    "files": (files.run, 40),
    "models": (models.run, 40),
    "kills": (kills.run, 4),
}


def fuzz(kind: str, seed: int, count: int, build: Path) -> int:
    """Try cases of a kind, print what fails; how many did."""
    run, usual = KINDS[kind]
    count, start, failed = count or usual, time.monotonic(), 0
    for bad, text in run(range(seed, seed + count), build):
        failed += 1
        print(f"FAILED {kind} {bad}: {text}")
        print(f"  again: .venv/bin/doit fuzz --kind {kind} --seed {bad} --count 1")
    took = time.monotonic() - start
    print(f"{kind}: {count} tried, {failed} failed, {took:.0f} s", flush=True)
    return failed


def main() -> int:
    """Run the kinds that the command line names; 1 where a case failed."""
    parser = Parser(prog="fuzz")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--seed", type=natural, default=1)
    parser.add_argument("--count", type=natural, default=0)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    given = parser.parse_args()
    kinds = [given.kind] if given.kind else list(KINDS)
    failed = [fuzz(kind, given.seed, given.count, given.build) for kind in kinds]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
