"""`python -m bench`: what `doit bench` and `doit bench_table` start."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench import sizes, table
from bench.errors import BenchError, MissingError
from bench.picture import picture
from bench.rows import select
from bench.whole import open_table
from bench.whole import rows as whole_rows
from bench.whole import table as whole_table


def main() -> int:
    """Measure, or write docs/speed.md; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--build", type=Path, help="folder of the library")
    parser.add_argument("--page", type=Path, help="write the tables into it")
    parser.add_argument("--sizes", action="store_true", help="measure the peers' sizes")
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    about = "operators; models and their names; compare, a folder and operators"
    parser.add_argument("names", nargs="*", help=about)
    given = parser.parse_args()
    if given.page:
        write = _write_sizes if given.sizes else _write_tables
        return _reported(lambda: write(given.page, given.folder))
    if given.names[:1] == ["models"]:
        models = given.names[1:]
        return _reported(lambda: _measure_models(given.build, given.folder, models))
    if given.names[:1] == ["compare"]:
        return _reported(lambda: _compare(given.build, given.names[1:]))
    return _reported(lambda: _measure(given.build, given.folder, given.names))


def _measure(build: Path, folder: Path, operators: list[str]) -> None:
    rows = select(operators)
    _check_packages()
    from bench.run import run  # imports them

    run(build, rows, folder)


def _measure_models(build: Path, folder: Path, models: list[str]) -> None:
    rows, open_rows = whole_rows.select(models)
    _check_packages()
    from bench.whole.run import run  # imports them

    run(build, rows, open_rows, folder)


def _compare(build: Path, words: list[str]) -> None:
    if not words:
        raise MissingError(
            "compare needs the folder of another build, as in: "
            "doit bench compare ../other/build"
        )
    rows = select(words[1:])
    _check_packages()
    from bench.compare import compare  # imports them
    from bench.run import pin

    pin()
    compare(build, Path(words[0]), rows)


def _check_packages() -> None:
    if absent := [n for n in ("onnx", "onnxruntime") if find_spec(n) is None]:
        raise MissingError(
            f"{' and '.join(absent)} cannot be imported; run: "
            f"{sys.executable} -m pip install -e '.[bench]'"
        )


def _write_tables(page: Path, folder: Path) -> None:
    """Write the table of each kind that was measured, then the picture of all."""
    kinds = (
        (folder / "results.json", "doit bench", table.with_table),
        (folder / "models.json", "doit bench models", whole_table.with_table),
        (folder / "models.json", "doit bench models", open_table.with_table),
    )
    if not any(path.exists() for path, _, _ in kinds):
        raise MissingError(f"{folder} holds no results; run doit bench first")
    text = page.read_text()
    for path, command, with_table in kinds:
        if path.exists():
            text = with_table(text, json.loads(path.read_text()))
        else:
            print(f"{path} is missing: its table stays as it is; run {command}")
    _write(page, text)


def _write_sizes(page: Path, folder: Path) -> None:
    """Write the table of the peers' sizes, then the picture."""
    text = sizes.measured(folder / "sizes")
    _write(page, sizes.with_table(page.read_text(), text))


def _write(page: Path, text: str) -> None:
    """Write a page of tables, and the picture that is drawn from them beside it."""
    drawn = picture(text)
    page.write_text(text)
    page.with_suffix(".svg").write_text(drawn)


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
