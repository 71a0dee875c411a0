"""Compiler: the commands compile and build of ops-wasm32, without doit's files.

The host package finds this module by its name, in a checkout or in the package of the
compiler, and calls `add_options`, then `run`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolchain.process.terminal import Watch
from toolchain.process.workers import prepare
from toolchain.profile import ProfileError, load_profile
from toolchain.records.places import BUILT, ROOT
from toolchain.tasks import model_files
from toolchain.tasks.library import runtime_objects
from toolchain.tasks.making import FailedError, Task, reported
from toolchain.tasks.running import build_profile

_OUT = "net.wasm, or a folder (default: <name>.wasm in this folder)"


def add_options(
    compiles: argparse.ArgumentParser, builds: argparse.ArgumentParser
) -> None:
    """Let the two commands read what `doit model` and `doit build` read."""
    compiles.add_argument("file", metavar="NET.onnx", help="a model: .onnx or .mindir")
    for option in (*model_files.OPTIONS, model_files.WEIGHTS, model_files.ARCHIVE):
        if option["name"] == "out":
            compiles.add_argument("-o", "--out", default="", help=_OUT)
        elif option["name"] != "file":
            _add(compiles, option)
    builds.add_argument("file", metavar="PROFILE.toml", help="what the library holds")
    about = "folder for the library (default: the profile's name)"
    builds.add_argument("-o", "--out", default="", help=about)
    workers = os.cpu_count() or 1
    about = "how many objects are compiled at a time (default: one per core)"
    builds.add_argument("-n", "--workers", type=_natural, default=workers, help=about)


def _add(parser: argparse.ArgumentParser, option: Task) -> None:
    """An option as doit has it, for argparse."""
    name, default, about = option["name"], option["default"], option["help"]
    words = [f"-{option['short']}"] * bool(option["short"]) + [f"--{name}"]
    given: dict[str, Any] = {"type": type(default), "metavar": name.upper()}
    if isinstance(default, bool):
        given = {"action": "store_true"}
    elif isinstance(default, list):
        given = {"action": "append", "metavar": "NAME=SIZES"}
        about += "; may be repeated"
    elif default:
        about += f" (default: {default})"
    parser.add_argument(*words, default=default, help=about, **given)


def _natural(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def run(options: argparse.Namespace) -> str | None:
    """Run the command that options.command names; what is wrong, if something is."""
    prepare()
    given = vars(options) | {}
    steps: dict[str, Callable[..., None]] = {"compile": _compile, "build": _build}
    step = steps[given.pop("command")]
    try:
        failed = reported(step, **{k: v for k, v in given.items() if k[0] != "_"})
    except SystemExit as end:  # by a signal
        raise KeyboardInterrupt(str(end)) from None
    return None if failed is None else str(failed.message)


def _compile(
    file: str, target: str, out: str, weights: str, archive: bool, **options: Any
) -> None:
    """Compile a model file into a module, with its weights and manifest."""
    path = model_files.checked(file, target, "")
    folder, name = _result(out)
    if not all(object.exists() for object in runtime_objects(BUILT / target)):
        raise FailedError(f"the runtime is not built; run `doit build` in {ROOT}")
    watch = Watch(f"{path.stem} {target}")
    result = model_files.Result(folder, name, archive, watch)
    try:
        wasm = model_files.compile_any(path, target, weights, result, **options)
    finally:
        watch.close()
    print(f"{wasm}: {wasm.stat().st_size} bytes")


def _result(out: str) -> tuple[Path, str]:
    """Folder and name of the files of --out."""
    path = Path(out)
    if path.suffix == ".wasm" and not path.is_dir():
        return path.parent, path.stem
    if path.suffix in (".onnx", ".mindir") or path.is_file():
        raise FailedError(
            f"--out {out}: names no .wasm file; give net.wasm or a folder"
        )
    return path, ""


def _build(file: str, out: str, workers: int) -> None:
    """Build the library of a profile into a folder."""
    path = Path(file)
    try:
        profile = load_profile(path)
    except ProfileError as error:
        raise FailedError(str(error)) from None
    folder = Path(out or path.stem).absolute()
    if folder.exists() and not folder.is_dir():
        raise FailedError(f"--out {folder}: is no folder; give another name")
    watch = Watch(path.stem)
    try:
        build_profile(dataclasses.replace(profile, folder=folder), workers, watch)
    finally:
        watch.close()
    for target in profile.targets:
        wasm = folder / target / "ops_wasm32.wasm"
        print(f"{wasm}: {wasm.stat().st_size} bytes")
