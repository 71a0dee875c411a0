"""Users of the packages: each starts from an empty folder and ends with an answer.

    python -m users [--package FILE] [NAME...]

A user is a script NAME.sh beside this file. It finds the npm package as $PACKAGE, its
tools on the path, and a model of its own in the folder; each line that it prints must
be the right answer. Exit code 77 says that what it needs is not to be had here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from documents import blocks

from toolchain.link.package import npm_path
from toolchain.profile import ROOT

HERE = Path(__file__).parent
BUILD = ROOT / "build" / "users"
SECONDS = 300  # for one user
NOT_HERE = 77  # exit code of a script whose tools are not to be had
NODES = ("node22", "node24")  # packages with one program each, by that name


class UsersError(Exception):
    """What keeps all users from starting; the text says what to do."""


@dataclass(frozen=True)
class Outcome:
    """How it went: "right", "wrong" or "not run", and why."""

    state: str
    seconds: float
    reason: str = ""


def names() -> list[str]:
    """The users there are."""
    return sorted(path.stem for path in HERE.glob("*.sh"))


def tools() -> Path:
    """The folder of the pinned tools' programs, installed where they are not yet."""
    folder = BUILD / "tools"
    wanted = HERE / "package.json"
    done = folder / "installed.json"
    if not done.exists() or done.read_bytes() != wanted.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copyfile(wanted, folder / wanted.name)
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], folder)
        shutil.copyfile(wanted, done)
    programs = folder / "node_modules" / ".bin"
    (programs / "node").unlink(missing_ok=True)  # of a version of NODES
    for name in NODES:
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(f"../{name}/bin/node")
    return programs


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise UsersError(f"{command[0]} is not installed")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UsersError(
            f"{' '.join(command)} (in {folder}) failed with exit code "
            f"{done.returncode}:\n{done.stdout}{done.stderr}"
        )


def light_model() -> Path:
    """LeNet with its weights in a file beside it."""
    folder = BUILD / "light"
    words = ["--file", "models/lenet.onnx", "--out", str(folder)]
    doit = [sys.executable, "-m", "doit", "model", *words, "--weights", "external"]
    _run(doit, ROOT)
    return folder


def give(folder: Path) -> str:
    """Put into a folder what the user has; the right answer."""
    shutil.copyfile(HERE / "answer.mjs", folder / "answer.mjs")
    model = ROOT / "build" / "models" / "lenet" / "simd128" / "lenet.wasm"
    shutil.copyfile(model, folder / "lenet.wasm")
    shutil.copytree(BUILD / "light", folder / "light")
    for block in filter(lambda b: b.file, blocks(ROOT / "docs" / "javascript.md")):
        (folder / block.file).write_text(block.text)
    with np.load(ROOT / "tests" / "digits.npz") as digits:
        small, label = digits["images"][3], digits["labels"][3]
    # As in training: models/_train_lenet.py.
    image = np.pad(small.repeat(3, 0).repeat(3, 1) / 16, 2)
    pixels = ", ".join(map(str, image.ravel()))
    text = f"export const digit = new Float32Array([{pixels}]);\n"
    (folder / "digit.mjs").write_text(text)
    powers = np.exp(np.arange(1.0, 4.0))
    softmax = " ".join(f"{x:.4f}" for x in powers / powers.sum())
    return f"softmax {softmax}; digit {label}"


def follow(name: str, package: Path, programs: Path | None) -> Outcome:
    """Run a user's script in an empty folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    start = time.monotonic()
    try:
        right = give(folder)
        paths = [str(programs)] if programs else []
        path = os.pathsep.join([*paths, os.environ["PATH"]])
        own = {"PATH": path, "PACKAGE": str(package), "USERS": str(HERE)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", HERE / f"{name}.sh"],
            cwd=folder,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return judged(done, right, time.monotonic() - start)
    except subprocess.TimeoutExpired:
        return Outcome("wrong", SECONDS, f"did not end within {SECONDS} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judged(
    done: subprocess.CompletedProcess[str], right: str, seconds: float
) -> Outcome:
    """What a script that has ended was: right where it said that, and only that."""
    if done.returncode == NOT_HERE:
        return Outcome("not run", seconds, done.stderr.strip())
    lines = done.stdout.splitlines()
    if done.returncode or set(lines) != {right}:
        said = f"{done.stdout}{done.stderr}".strip()
        reason = f"exit code {done.returncode}, not {right!r}:\n{said}"
        return Outcome("wrong", seconds, reason)
    return Outcome("right", seconds)


def main() -> int:
    """Follow users: 0, 1 where one is wrong, 3 where one could not be tried."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--package", type=Path, default=npm_path(ROOT / "dist"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in names()]
    if unknown:
        parser.error(f"user {unknown[0]} is unknown; use {', '.join(names())}")
    try:
        programs = tools()
        light_model()
    except UsersError as error:
        print(f"no user could start: {error}")
        return 3
    states = []
    for name in options.names or names():
        outcome = follow(name, options.package.resolve(), programs)
        print(f"{name:14} {outcome.state:8} {outcome.seconds:5.1f} s {outcome.reason}")
        states.append(outcome.state)
    return 1 if "wrong" in states else 3 if "not run" in states else 0


if __name__ == "__main__":
    raise SystemExit(main())
