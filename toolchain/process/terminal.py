"""Terminal: how far work is, as a bar where somebody watches, else as lines."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

_PATIENCE = 2.0  # seconds before a bar appears
_STEP = re.compile(r"(\d+)/(\d+)")


class Watch:
    """Told what is being done, it shows that: print's place in a build.

    title: what the work is called. On a terminal a bar shows how far work is that takes
    above two seconds, if rich is installed (the extra `compiler`); a line for each step
    goes to any other place.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._bar: Any = _bar() if sys.stderr.isatty() else None
        self._task: Any = None

    def __call__(self, text: str) -> None:
        """Show a step; "3/9" in it is how far the work is."""
        if self._bar is None:
            print(f"  {self._title}: {text}", flush=True)
        elif time.monotonic() - self._started > _PATIENCE:
            self._move(text)

    def _move(self, text: str) -> None:
        step = _STEP.search(text)
        done, total = (int(step[1]), int(step[2])) if step else (None, None)
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", total=total)
        what = f"{self._title}: {text}"
        self._bar.update(self._task, description=what, completed=done, total=total)
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._bar.stop()


def _bar() -> Any:
    """A bar that moves when it is told to: no thread, since compilers fork."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
