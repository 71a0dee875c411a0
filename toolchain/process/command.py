"""Command: the one place that runs other programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from toolchain.records.places import WORK
from toolchain.records.replace import scratch

# Environment variable that replaces a tool, and the wheel's tool it replaces.
TOOLS = {
    "LLVM_AR": ("ar",),
    "WASM_LD": ("wasm-ld",),
    "CLANG": ("cc",),
}
# The wheels whose versions decide what the artifacts' bytes are.
WHEELS = ("apache-tvm", "llvmlite", "ziglang")
# And of a model, whose file they read or write.
MODEL_WHEELS = ("apache-tvm-ffi", "numpy", "onnx", "protobuf")
# What a tool says of itself: a version below this one is refused.
LEAST_LLVM = 17


class ToolError(Exception):
    """A program that is missing, too old or failed; the text can be acted on."""


@cache
def tool_versions(models: bool = False) -> dict[str, str]:
    """Versions of the wheels that make the artifacts; of models too."""
    found = {wheel: version(wheel) for wheel in WHEELS}
    for wheel in MODEL_WHEELS if models else ():
        with suppress(PackageNotFoundError):
            found[wheel] = version(wheel)
    return found


@cache
def replacement(variable: str) -> list[str] | None:
    """The tool that replaces one of the wheel's, and what it says of itself."""
    override = os.environ.get(variable)
    if not override:
        return None
    try:
        return [override, run([*shlex.split(override), "--version"])]
    except ToolError as error:  # whoever needs the tool will say so
        return [override, str(error)]


def tool(variable: str) -> list[str]:
    """Command line of a tool: the environment's, or the ziglang wheel's."""
    override = os.environ.get(variable)
    if override:
        _check_version(variable, override)
        return shlex.split(override)
    return [sys.executable, "-m", "ziglang", *TOOLS[variable]]


@cache
def _check_version(variable: str, override: str) -> None:
    """ToolError where a tool that replaces one of the wheel's is missing or too old."""
    said = run([*shlex.split(override), "--version"])
    match = re.search(r"(?:version|LLD|zig) (\d+)\.(\d+)", said)
    if match is None:
        raise ToolError(
            f"{variable}={override}: does not say that it is a tool of LLVM "
            f"(--version gives {said.strip()[:80]!r}); unset {variable}, or name one"
        )
    if int(match[1]) < LEAST_LLVM:
        raise ToolError(
            f"{variable}={override}: is version {match[1]}.{match[2]}, but "
            f"{LEAST_LLVM} or newer is needed; unset {variable}, or name a newer one"
        )


def run(arguments: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """Run a program and return its standard output; ToolError where it fails."""
    words = [str(a) for a in arguments]
    shown = shlex.join(words)
    with _zig_folders() as environment:
        try:
            done = subprocess.run(
                words,
                cwd=cwd,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise ToolError(
                f"{words[0]}: cannot be run ({error.strerror}); install it, or unset "
                f"the environment variable that names it ({', '.join(TOOLS)})"
            ) from None
    if done.returncode:
        raise ToolError(
            f"{Path(words[0]).name} failed with exit code {done.returncode}\n"
            f"  command: {shown}\n{done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


@contextmanager
def _zig_folders() -> Iterator[dict[str, str]]:
    """The environment of a tool, in which zig keeps what it compiles in our folders.

    Its own libraries stay in build/.zig, or the user's cache; by default it would take
    a folder of its own. An object of ours has a record beside it, so that a second copy
    in a cache would only take place: it goes with the run.
    """
    given = os.environ.get("ZIG_GLOBAL_CACHE_DIR")
    folder = Path(given) if given else WORK / ".zig"
    with scratch(folder) as own:
        yield {
            **os.environ,
            "ZIG_GLOBAL_CACHE_DIR": str(folder),
            "ZIG_LOCAL_CACHE_DIR": str(own),
        }
