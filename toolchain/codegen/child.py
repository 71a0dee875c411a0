"""Child: compiles one object in a forked process with a time limit.

LLVM ends its process on a fatal error and some expressions never finish code
generation, so a compilation must not take the build with it. The parent has
imported TVM once; a fork of it starts at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import spec
from toolchain.codegen.objects import compile_object
from toolchain.process.command import ToolError
from toolchain.records.made import ChangedError
from toolchain.records.replace import write
from toolchain.spec import SpecError

_POLL = 0.005  # seconds


@dataclass
class Job:
    """What a child is to do. label: the file that its messages name."""

    label: Path
    action: Callable[[], None]
    timeout: float


def compile_in_child(
    path: Path,
    target: str,
    dtypes: tuple[str, ...] | None,
    out: Path,
    timeout: float,
    numbers: Mapping[str, int] | None = None,
) -> str | None:
    """Write <out>.o and <out>.json; the reason where the operator cannot be compiled.

    On a failure there is no object, and the .json holds {"error": reason}.
    """
    import tvm  # noqa: F401  # before the fork, so that it is imported once

    def compile_one() -> None:
        data, description = compile_object(path, target, dtypes, numbers)
        description["sha256"] = hashlib.sha256(data).hexdigest()
        description["bytes"] = len(data)
        write(out.with_suffix(".o"), data)
        text = json.dumps(description, indent=1, sort_keys=True)
        write(out.with_suffix(".json"), text.encode() + b"\n")

    ((_, reason),) = in_children([Job(path, compile_one, timeout)], 1)
    if reason is not None:
        out.with_suffix(".o").unlink(missing_ok=True)
        write(out.with_suffix(".json"), json.dumps({"error": reason}).encode())
    return reason


def in_children(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, str | None]]:
    """Run jobs in forked processes, some at a time; each job with why it failed.

    They come in the order in which they end.
    """
    waiting = list(jobs)[::-1]
    running: list[_Child] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Child(waiting.pop()))
            ended = [c for c in running if c.ended()]
            running = [c for c in running if c not in ended]
            for child in ended:
                yield child.job, child.reason()
            if not ended:
                time.sleep(_POLL)
    finally:
        for child in running:
            child.kill()


class _Child:
    """A forked process that does one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.status: int | None = None
        self.end = time.monotonic() + job.timeout
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in reason()
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if not self.process:
            _work(job, self.log.fileno())

    def ended(self) -> bool:
        """Whether it has come to an end, or to its time limit."""
        done, status = os.waitpid(self.process, os.WNOHANG)
        if done:
            self.status = os.waitstatus_to_exitcode(status)
            return True
        if time.monotonic() < self.end:
            return False
        self.kill()
        return True

    def kill(self) -> None:
        """End it."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)

    def reason(self) -> str | None:
        """Why it failed, if it did."""
        with self.log as log:
            log.seek(0)
            said = log.read().decode(errors="replace").strip()
        return _reason(self.job.label, self.status, said, self.job.timeout)


def _work(job: Job, log: int) -> None:
    """In the child: never returns."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = sys.stderr = open(log, "w", closefd=False)  # noqa: SIM115  # to exit
    code = 1
    try:
        job.action()
        code = 0
    except (ToolError, ChangedError) as error:
        print(error)
    except OSError as error:
        print(f"{error.filename or job.label}: {error.strerror}")
        code = 2
    except BaseException as error:  # whatever an operator file raises is its author's
        print(author_text(job.label, error))
    finally:
        sys.stdout.flush()
        os._exit(code)


# Of Python's own texts, what names a field that is missing from a class of
# toolchain.spec, or that it does not have.
_FIELDS = re.compile(
    r"(?P<name>\w+)\.__init__\(\) (?:"
    r"missing \d+ required positional arguments?: (?P<missing>.*)|"
    r"got an unexpected keyword argument '(?P<unknown>\w+)')"
)


def author_text(path: Path, error: BaseException) -> str:
    """An exception for the author of an operator file: its line, not ours."""
    lines = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
    ]
    line = lines[-1].lineno if lines else None
    if isinstance(error, SyntaxError):
        line = error.lineno
    where = f"line {line}: " if line else ""
    if isinstance(error, SpecError):
        return where + str(error)
    if isinstance(error, TypeError) and (found := _FIELDS.search(str(error))):
        return where + _field_text(found)
    return f"{where}{type(error).__name__}: {str(error).strip() or 'no message'}"


def _field_text(found: re.Match[str]) -> str:
    name = found["name"]
    if found["missing"]:
        return f"{name} lacks {found['missing']}; give it, as other operators do"
    fields = [f.name for f in dataclasses.fields(getattr(spec, name, spec.Operator))]
    close = difflib.get_close_matches(found["unknown"], fields, 1)
    advice = f"did you mean {close[0]!r}?" if close else f"use {', '.join(fields)}"
    return f"{name} has no {found['unknown']!r}; {advice}"


def _reason(path: Path, status: int | None, said: str, timeout: float) -> str | None:
    if status == 0:
        return None
    if status is None:
        return f"{path}: its compilation did not end within {timeout:g} s"
    if status == 2:
        raise OSError(said)
    if status == 1:
        return f"{path}: {said}" if str(path) not in said else said
    cause = f"signal {-status}" if status < 0 else f"exit code {status}"
    return f"{path}: the compiler ended with {cause}: {said or 'it said nothing'}"
