"""Child: compiles one object in a forked process with a time limit.

LLVM ends its process on a fatal error and some expressions never finish code
generation, so a compilation must not take the build with it. The parent has
imported TVM once; a fork of it starts at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from toolchain.codegen import compile_object
from toolchain.command import ToolError
from toolchain.spec import SpecError

_POLL = 0.005  # seconds


def compile_in_child(
    path: Path,
    target: str,
    dtypes: tuple[str, ...] | None,
    out: Path,
    timeout: float,
) -> str | None:
    """Write <out>.o and <out>.json; the reason where the operator cannot be compiled.

    On a failure there is no object, and the .json holds {"error": reason}.
    """
    import tvm  # noqa: F401  # before the fork, so that it is imported once

    out.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".o", ".json"):
        out.with_suffix(suffix).unlink(missing_ok=True)
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            _compile(path, target, dtypes, out, log.fileno())
        status = _wait(child, timeout)
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    reason = _reason(path, status, said, timeout)
    if reason is not None:
        out.with_suffix(".o").unlink(missing_ok=True)
        _write(out.with_suffix(".json"), json.dumps({"error": reason}).encode())
    return reason


def _compile(
    path: Path, target: str, dtypes: tuple[str, ...] | None, out: Path, log: int
) -> None:
    """In the child: never returns."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = sys.stderr = open(log, "w", closefd=False)  # noqa: SIM115  # to exit
    code = 1
    try:
        data, description = compile_object(path, target, dtypes)
        description["sha256"] = hashlib.sha256(data).hexdigest()
        description["bytes"] = len(data)
        _write(out.with_suffix(".o"), data)
        text = json.dumps(description, indent=1, sort_keys=True)
        _write(out.with_suffix(".json"), text.encode() + b"\n")
        code = 0
    except (SpecError, ToolError) as error:
        print(error)
    except OSError as error:
        print(f"{error.filename or path}: {error.strerror}")
        code = 2
    except BaseException as error:  # whatever an operator file raises is its author's
        print(_author_text(path, error))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _author_text(path: Path, error: BaseException) -> str:
    """An exception for the author of an operator file: its line, not ours."""
    lines = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
    ]
    where = f"line {lines[-1].lineno}: " if lines else ""
    if isinstance(error, SyntaxError) and error.lineno:
        where = f"line {error.lineno}: "
    return f"{where}{type(error).__name__}: {str(error).strip() or 'no message'}"


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.replace(path)


def _wait(child: int, timeout: float) -> int | None:
    """Exit status of the child; None if it took too long and was ended."""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(_POLL)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


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
