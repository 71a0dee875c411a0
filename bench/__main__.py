"""`python -m bench`: what `doit bench` and `doit bench_table` start."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.errors import BenchError, MissingError
from bench.rows import select
from bench.table import update_readme


def main() -> int:
    """Measure, or write the README's table; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--build", type=Path, help="folder of the library")
    parser.add_argument("--readme", type=Path, help="write the table into it")
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    parser.add_argument("operators", nargs="*")
    given = parser.parse_args()
    if given.readme:
        return _reported(lambda: _write_table(given.readme, given.folder))
    return _reported(lambda: _measure(given.build, given.folder, given.operators))


def _measure(build: Path, folder: Path, operators: list[str]) -> None:
    rows = select(operators)
    if absent := [n for n in ("onnx", "onnxruntime") if find_spec(n) is None]:
        raise MissingError(
            f"{' and '.join(absent)} cannot be imported; run: "
            f"{sys.executable} -m pip install -e '.[bench]'"
        )
    from bench.run import run  # imports them

    run(build, rows, folder)


def _write_table(readme: Path, folder: Path) -> None:
    path = folder / "results.json"
    if not path.exists():
        raise MissingError(f"{path} is missing; run doit bench first")
    update_readme(readme, json.loads(path.read_text()))


def _reported(action: Callable[[], None]) -> int:
    """Run an action; the exit code, with a plain message for expected errors."""
    try:
        action()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
