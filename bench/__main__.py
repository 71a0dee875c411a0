"""`python -m bench`: what `doit bench` starts, with one thread for numpy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.measure import MismatchError
from bench.peers import PeerError
from bench.rows import select
from bench.run import run


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--build", type=Path, required=True, help="the library's")
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    parser.add_argument("--alone", type=Path, required=True, help="matmul's module")
    parser.add_argument("operators", nargs="*")
    given = parser.parse_args()
    try:
        run(given.build, select(given.operators), given.folder, given.alone)
    except (LookupError, PeerError, MismatchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
