"""Documents: what is measured, and the lists and tables in docs/."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolchain.profile import ROOT, Profile
from toolchain.tasks.making import FailedError, Task, command, run_python

DOCS = ROOT / "docs"
_FOLDER = ("--folder", str(ROOT / "build" / "bench"))


def update_matrix() -> None:
    """Write docs/operators.md, and the list of primitives in docs/mindir.md."""
    from toolchain.tasks.matrix import MatrixError, write_lists

    try:
        write_lists(DOCS)
    except MatrixError as error:
        raise FailedError(str(error)) from None


def bench_task(profile: Profile, after: Iterable[str]) -> Task:
    """Measures what its words name."""
    task = command(run_bench, profile, after=after, reads=True)
    return task | {"pos_arg": "words"}


def bench_models(words: list[str], models: list[str]) -> list[str]:
    """Tasks that `doit bench models` needs, by the words of the command line.

    models: what it can measure. doit reads a task's own words too late for this.
    """
    if "bench" not in words:
        return []
    what, *named = *words[words.index("bench") + 1 :], ""
    wanted = [m for m in models if m in named] if any(named) else models
    return [f"bench_models:{m}:*" for m in wanted] if what == "models" else []


def run_bench(profile: Profile, words: list[str]) -> None:
    """Measure a profile's library, or its models, beside their peers."""
    _run("bench", [*_FOLDER, "--build", str(profile.folder), *words])


def update_speed() -> None:
    """Write the last measurements into docs/speed.md, and draw the picture of them."""
    _run("bench", [*_FOLDER, "--page", str(DOCS / "speed.md")])


def update_sizes() -> None:
    """Write the sizes of the peers into docs/speed.md."""
    _run("bench", [*_FOLDER, "--page", str(DOCS / "speed.md"), "--sizes"])


def draw_trace(folder: Path) -> None:
    """Time the steps of a traced model and draw the page."""
    _run("bench.trace", [str(folder)])


def _run(module: str, words: list[str]) -> None:
    """Run a module of bench/, with one thread."""
    # numpy reads its number of threads when it is imported.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if code := run_python(["-m", module, *words], variables=threads):
        raise FailedError(f"the bench failed (exit code {code}); see above")
