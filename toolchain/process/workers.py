"""Workers: the processes of a build, how many there are and how they end."""

from __future__ import annotations

import os
import signal
import sys


def prepare() -> None:
    """Let Ctrl-C and TERM end a build with a plain message, and all its processes."""

    def interrupted(*_: object) -> None:
        sys.exit("interrupted; the next build goes on from here")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    parents: list[int] = []
    os.register_at_fork(
        before=lambda: parents.append(os.getpid()),
        after_in_child=lambda: _worker(parents[-1]),
    )


def _worker(parent: int) -> None:
    """In a process that a build forks: the main process speaks for all.

    It ends with its parent, so that nothing is left of a build that was killed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def workers(words: list[str]) -> int:
    """How many tasks run at a time: one per core, or -n after the task `build`.

    doit itself takes -n before the names of tasks; after them it is the task's, which
    is read too late to set the number of workers.
    """
    if "build" in words:
        for word, following in zip(words, [*words[1:], ""], strict=True):
            number = following if word == "-n" else word.removeprefix("-n")
            if word.startswith("-n") and number.isdecimal():
                return int(number)
    return os.cpu_count() or 1
