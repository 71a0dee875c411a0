"""Running: doit's settings, and a profile built without a file of tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from toolchain.process.progress import ProgressReporter
from toolchain.profile import Profile
from toolchain.tasks import library
from toolchain.tasks.making import FailedError, NoRecord, Task


def configuration(profile: Profile, workers: int) -> dict[str, object]:
    """What doit is told: DOIT_CONFIG of a file of tasks."""
    return {
        "default_tasks": ["build"],
        # No record of doit's own: outputs say what they were made from.
        "dep_file": os.devnull,
        "backend": "json",
        "codec_cls": NoRecord,
        "reporter": ProgressReporter.of(profile.folder),
        "num_process": workers,
        "continue": True,
        "verbosity": 2,
    }


def _no_tables() -> Iterator[Task]:
    """Tables are in the sources of a package, and of a checkout that is built."""
    for name in library.TABLES_FIRST:
        yield {"name": name.partition(":")[2], "actions": None}


def build_profile(
    profile: Profile, workers: int, show: Callable[[str], None] | None = None
) -> None:
    """Build a profile's library by the tasks of `doit build`. Errors: FailedError.

    What the full library has of it already is taken from there. show: is told each
    task as it starts; None: they are printed.
    """
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain

    library.take_ready(profile)
    settings = configuration(profile, workers)
    if show is not None:
        settings["reporter"] = ProgressReporter.of(profile.folder, show)
    tasks = {
        "DOIT_CONFIG": settings,
        "task_tables": _no_tables,
        "task_compile": lambda: library.compile_tasks(profile),
        "task_runtime": lambda: library.runtime_tasks(profile),
        "task_archive": lambda: library.archive_tasks(profile),
        "task_module": lambda: library.module_tasks(profile),
        "task_build": lambda: library.build_task(profile, ["module"], full=()),
    }
    if DoitMain(ModuleTaskLoader(tasks), config_filenames=()).run(["build"]):
        raise FailedError(f"{profile.file}: could not be built; the reasons are above")
