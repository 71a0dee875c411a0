"""Making: tasks as doit has them, of functions that raise where they fail.

Modules that take long to import are imported where they are used, in every file of this
folder, so that `doit list` and a build with nothing to do stay fast.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed

from toolchain.profile import ROOT
from toolchain.records.made import Made
from toolchain.records.slices import root_of

Task = dict[str, Any]


class NoRecord:
    """The record that doit keeps of tasks: none, it reads and writes nothing."""

    def encode(self, data: Any) -> str:
        """No text, whatever is to be kept."""
        del data
        return ""

    def decode(self, text: str) -> dict[str, Any]:
        """No task is known."""
        del text
        return {}


class FailedError(Exception):
    """What a task found is not right; the text says what."""


def made(
    step: Callable[..., Iterable[str] | None],
    *args: Any,
    outputs: Iterable[Path],
    files: Iterable[Path] = (),
    settings: Any = None,
    code: tuple[str, ...] = (),
    named: Mapping[str, Any] | None = None,
    name: str = "",
    after: Iterable[str] = (),
) -> Task:
    """The task that makes outputs by a function, when what they follow from changes.

    step: may give further roots of code. files, settings, code, named: see `Made`;
    where no code is given it is the step's. after: names of tasks that come before.
    """
    roots = code or (root_of(step),)
    what = Made(tuple(outputs), roots, tuple(files), settings, named or {})
    task: Task = {
        "actions": [(reported, (_make, what, step, *args))],
        "targets": [str(path) for path in what.outputs],
        "uptodate": [what],
        "task_dep": list(after),
    }
    return task | {"name": name} if name else task


def command(
    step: Callable[..., None],
    *args: Any,
    after: Iterable[str] = (),
    options: Iterable[Task] = (),
    reads: bool = False,
) -> Task:
    """The task that runs a function each time it is asked for.

    options: given to the function by name. reads: whether it only reads what is built;
    while it runs, others may build.
    """
    return {
        "actions": [(reported, (step, *args))],
        "params": list(options),
        "task_dep": list(after),
        "uptodate": [False],
        "meta": {"reads": reads},
    }


def option(name: str, default: Any, about: str, short: str = "") -> Task:
    """An option of a command: --name, of the default's type."""
    return {
        "name": name,
        "short": short,
        "long": name,
        "type": type(default),
        "default": default,
        "help": about,
    }


def _make(what: Made, step: Callable[..., Iterable[str] | None], *args: Any) -> None:
    """Make outputs by a step, and record what they were made from."""
    what.make(lambda: step(*args))


def reported(
    step: Callable[..., None], *args: Any, **options: Any
) -> TaskFailed | None:
    """Turn a user's mistake, a failed tool or a full disk into a plain message."""
    try:
        step(*args, **options)
    except Exception as error:
        if isinstance(error, _expected()):
            return TaskFailed(f"{error}{_again(getattr(error, 'options', []))}")
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            return TaskFailed(f"{where}{error.strerror or error}")
        raise
    return None


def _expected() -> tuple[type[Exception], ...]:
    """What functions raise whose text is all that a user needs."""
    from toolchain.link.module import ModuleError
    from toolchain.link.package import PackageError
    from toolchain.process.command import ToolError
    from toolchain.records.made import ChangedError
    from toolchain.spec import SpecError

    expected = (ToolError, SpecError, ModuleError, PackageError, ChangedError)
    return *expected, FailedError


def _again(options: list[str]) -> str:
    """The command line with options that it lacks, to be pasted."""
    if not options:
        return ""
    return f"\nrun: {shlex.join([*sys.argv, *options])}"


def run_python(
    words: Iterable[str],
    paths: Iterable[Path] = (),
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run Python in the project's folder and show what it prints; its exit code.

    paths: where it finds modules. variables: of its environment.
    """
    import subprocess

    environment = os.environ | dict(variables or {})
    if found := [str(path) for path in paths]:
        environment["PYTHONPATH"] = os.pathsep.join(found)
    line = [sys.executable, *words]
    return subprocess.run(line, cwd=ROOT, env=environment, check=False).returncode
