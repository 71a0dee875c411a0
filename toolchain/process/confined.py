"""Confined: runs a function in a forked process with limits of time and memory.

A user's file may hold anything, and the parsers and compilers that read it may end
their process, run for ever or ask for all memory. Here none of that reaches the
caller: it gets the function's result, or an error that says what happened where.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from toolchain.process.command import ToolError
from toolchain.records.places import ROOT
from toolchain.spec import SpecError

T = TypeVar("T")
# What TVM writes around names and numbers.
_DECORATIONS = (
    (re.compile(r'In ir\.Op\(.*?name="([\w.]+)".*?support_level=\d+\), '), r"\1: "),
    (re.compile(r"\bT\.(?:bool|float|u?int)\d*\(([^()]*)\)"), r"\1"),
)
_POLL = 0.005  # seconds
_PLACE = 1024  # bytes that say what the child is at
_SAID = 300  # characters of what a library said, in an error
_LOG = 1 << 16  # bytes of what was printed, from the end
_LINES, _LINE = 60, 600  # of an error: lines, and characters of each
_FRAMES = 3  # of our own, in the text for a mistake of ours

_place: mmap.mmap | None = None


class LimitError(SpecError):
    """What takes more time or memory than there is, or ends its process."""


@dataclass(frozen=True)
class Limits:
    """What a function may take: seconds, and bytes beside what is there already.

    Of bytes no more than the machine has.
    """

    seconds: float
    bytes: int

    def __post_init__(self) -> None:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        object.__setattr__(self, "bytes", min(self.bytes, most))


def at(text: str) -> None:
    """Note what the process is at, for the error if it comes to its end here."""
    if _place is not None:
        data = text.encode()[: _PLACE - 2]
        _place[:_PLACE] = data.ljust(_PLACE, b"\0")


def short(text: str) -> str:
    """What a library said, on one line and without its traces.

    TVM puts a trace before its words; the last line that is no frame is what it says.
    """
    lines = [x.strip() for x in text.splitlines() if x.strip()]
    # LLVM and the C++ library name the cause before a stack of addresses.
    lines = [x for x in lines if not x.startswith(("File ", "#", "0x", "@"))] or lines
    said = lines[-1] if lines else ""
    for pattern, plain in _DECORATIONS:
        said = pattern.sub(plain, said)
    return said if len(said) <= _SAID else said[: _SAID - 3] + "..."


def run(label: str, action: Callable[[], T], limits: Limits) -> T:
    """The function's result, which is pickled, or the error that it raises.

    label: what errors call the work, such as the path of a file. Errors: SpecError
    where the process runs out of time or memory, ends by a signal, or raises what
    none of our own errors is; exceptions that our errors derive from stay as they are.
    """
    place = mmap.mmap(-1, _PLACE)
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as out:
        child = _fork(action, limits, place, log, out)
        status = _wait(child, limits.seconds)
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG))
        said = log.read().decode(errors="replace")
        where = place[:].rstrip(b"\0").decode(errors="replace")
        label = f"{label}: {where}" if where else label
        if status is None:
            raise LimitError(
                f"{label}: took longer than {limits.seconds:g} s; give it more, as in "
                f"--timeout {2 * limits.seconds:g}, or cut the model in parts"
            )
        if status:
            raise LimitError(f"{label}: {_ended(status, said, limits)}")
        out.seek(0)
        good, result = pickle.load(out)
    if good:
        found: T = result
        return found
    raise _error(label, result, limits)


def _fork(
    action: Callable[[], object],
    limits: Limits,
    place: mmap.mmap,
    log: IO[bytes],
    out: IO[bytes],
) -> int:
    """Start the child; its process id."""
    global _place
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _place = place
        faulthandler.disable()  # the parent says what happened
        _limit(limits)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115  # to exit
        pickle.dump(_result(action), out, protocol=5)
        out.flush()
        code = 0
    except BaseException as error:  # nothing of it may run on in the parent's code
        print(f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _result(action: Callable[[], object]) -> tuple[bool, object]:
    """Whether it ended well, and its result or what it raised."""
    try:
        return True, action()
    except (SpecError, ToolError, OSError) as error:
        return False, error
    except MemoryError as error:
        return False, _Foreign("MemoryError", str(error), "")
    except BaseException as error:
        return False, _Foreign(type(error).__name__, str(error), _frames(error))


@dataclass(frozen=True)
class _Foreign:
    """An exception that is none of ours: its type, text and our last frames."""

    kind: str
    text: str
    frames: str


def _frames(error: BaseException) -> str:
    found = [
        f"{Path(f.filename).name}:{f.lineno}"
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename.startswith(str(ROOT))
        and "site-packages" not in f.filename.removeprefix(str(ROOT))
    ]
    return " > ".join(found[-_FRAMES:])


def _limit(limits: Limits) -> None:
    """Bound the memory of this process, and let it be the first to go."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    statm = Path("/proc/self/statm")
    if not statm.exists():  # no Linux: its limits would not count what is mapped
        return
    mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = mapped + limits.bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _wait(child: int, seconds: float) -> int | None:
    """The exit code of the child, or None where its time is over."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(_POLL)
        return None
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _memory(limits: Limits) -> str:
    return (
        f"needs more than {limits.bytes / 2**30:.1f} GiB of memory, what a file of its "
        "size may take on this machine; give smaller shapes, or cut the model in parts"
    )


def _ended(status: int, said: str, limits: Limits) -> str:
    """Why a child ended that has left no result."""
    if "bad_alloc" in said or "MemoryError" in said or status == -signal.SIGKILL:
        return _memory(limits)
    cause = f"exit code {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            cause = signal.Signals(-status).name
    text = f"the compiler ended with {cause}; change or leave out what is named here"
    return text + words(said, "it")


def _error(label: str, error: Exception | _Foreign, limits: Limits) -> Exception:
    """What a child raised, as an error of ours."""
    if not isinstance(error, _Foreign):
        if isinstance(error, SpecError):
            error.args = (_printable(str(error)), *error.args[1:])
        return error
    if error.kind == "RecursionError":
        return SpecError(f"{label}: is nested too deep; flatten the model")
    if error.kind == "MemoryError" or "bad_alloc" in error.text:
        return LimitError(f"{label}: {_memory(limits)}")
    where = f" ({error.frames})" if error.frames else ""
    return SpecError(
        f"{label}: cannot be compiled: {error.kind}{where}; change or leave out what "
        f"is named here, and report this{words(error.text, 'it')}"
    )


def _printable(text: str) -> str:
    """A text with names out of a file, however long and of whatever characters."""
    lines = text.splitlines()
    more = len(lines) - _LINES
    lines = lines[:_LINES] + ([f"and {more} more lines"] if more > 0 else [])
    cut = [x if len(x) <= _LINE else f"{x[: _LINE - 3]}..." for x in lines]
    return "\n".join(
        "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in cut
    )


def words(text: str, who: str = "TVM") -> str:
    """What a library said, below our own text."""
    said = short(text)
    return f"\n  {who} said: {said}" if said else ""
