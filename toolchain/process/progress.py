"""Progress: one build at a time, and how far it is, one line per task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

from doit.reporter import ConsoleReporter
from doit.task import Task

from toolchain.records.lock import Lock
from toolchain.records.made import keep


class ProgressReporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """Shows "[ 12/310] compile:simd128:softmax" for what runs, nothing for the rest."""

    desc = "console, with how far the build is"
    folder: Path
    show: Callable[[str], None] | None = None

    def __init__(self, outstream: IO[str], options: Mapping[str, object]) -> None:
        super().__init__(outstream, options)
        self.total = self.seen = 0

    @classmethod
    def of(
        cls, folder: Path, show: Callable[[str], None] | None = None
    ) -> type[ProgressReporter]:
        """The reporter of builds in a folder: doit makes one where tasks are run.

        show: is told each task in place of the console.
        """
        told = None if show is None else staticmethod(show)
        return type(cls.__name__, (cls,), {"folder": folder, "show": told})

    def initialize(
        self, tasks: Mapping[str, Task], selected_tasks: Iterable[str]
    ) -> None:
        """Wait for other builds; count the tasks that the selected ones need."""
        super().initialize(tasks, selected_tasks)
        self.lock = Lock(self.folder)
        self.lock.take(self.write)
        todo, needed = list(selected_tasks), set()
        while todo:
            name = todo.pop()
            if name in tasks and name not in needed:
                needed.add(name)
                todo += tasks[name].task_dep
                todo += tasks[name].setup_tasks
        self.total = sum(1 for n in needed if tasks[n].actions)

    def execute_task(self, task: Task) -> None:
        """A task starts."""
        if (task.meta or {}).get("reads"):
            self.lock.release()
        if task.actions and not task.name.startswith("_"):
            self.seen += 1
            if self.show is not None:
                self.show(f"{self.seen}/{self.total} {task.title()}")
                return
            width = len(str(self.total))
            self.write(f"[{self.seen:{width}}/{self.total}] {task.title()}\n")

    def skip_uptodate(self, task: Task) -> None:
        """A task has nothing to do."""
        self.seen += bool(task.actions)

    def complete_run(self) -> None:
        """All is done: what was found out about files helps the next build."""
        super().complete_run()
        keep()
