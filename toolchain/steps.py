"""Steps: what the tasks of dodo.py do, one function each.

Modules that take long to import are imported inside, so that `doit list` and a
build with nothing to do stay fast. Expected failures become doit's TaskFailed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import files as files_of
from pathlib import Path
from typing import Any, ParamSpec

from doit.exceptions import TaskFailed

from toolchain.command import tool_versions
from toolchain.profile import ROOT, Profile, ProfileError, load_profile
from toolchain.targets import TARGETS

P = ParamSpec("P")


def _step(function: Callable[P, Any]) -> Callable[P, Any]:
    """Turn a user's mistake, a failed tool or a full disk into a plain message."""

    @functools.wraps(function)
    def action(*args: P.args, **kwargs: P.kwargs) -> Any:
        from toolchain.command import ToolError
        from toolchain.module import ModuleError
        from toolchain.spec import SpecError

        try:
            return function(*args, **kwargs)
        except (ToolError, SpecError, ModuleError) as error:
            return TaskFailed(str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return TaskFailed(f"{where}{error.strerror or error}")

    return action


@_step
def compile_operator(
    path: Path, target: str, dtypes: tuple[str, ...] | None, out: Path, timeout: float
) -> Any:
    """Compile one operator; a mistake in its file is reported and kept for `check`."""
    from toolchain.child import compile_in_child

    reason = compile_in_child(path, target, dtypes, out, timeout)
    if reason is not None:
        print(f"FAILED {target}: {reason}")


@_step
def compile_runtime(source: Path, target: str, out: Path) -> Any:
    """Compile one C file of the runtime."""
    from toolchain.clang import compile_c

    out.parent.mkdir(parents=True, exist_ok=True)
    compile_c(source, TARGETS[target], out)


def descriptions(folder: Path, names: list[str]) -> dict[str, Any]:
    """Description of each compiled operator by name ({"error": ...}: it failed)."""
    return {n: json.loads((folder / f"{n}.json").read_text()) for n in names}


@_step
def make_archive(folder: Path, names: list[str], runtime: list[Path]) -> Any:
    """Emit the operator table and archive it with objects and runtime."""
    from toolchain.archive import archive
    from toolchain.codegen import emit
    from toolchain.descriptor import Room, room, table

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    kernels = [k for d in good.values() for k in d["kernels"]]
    members = [folder / "obj" / f"{n}.o" for n in good]
    # Apart: a program that names its operators links the room and not the table.
    rooms = [Room(**d["room"]) for d in good.values()]
    for name, text in (("table", table(kernels)), ("room", room(rooms))):
        members.append(folder / "runtime" / f"ops_{name}.o")
        members[-1].parent.mkdir(parents=True, exist_ok=True)
        members[-1].write_bytes(emit([text], TARGETS[folder.name]))
    archive([*members, *runtime], folder / "libops_wasm32.a")


@_step
def make_module(folder: Path, names: list[str], max_memory: int) -> Any:
    """Link the standalone module, check its interface, write manifest and headers."""
    from toolchain.header import write_headers
    from toolchain.link import link
    from toolchain.manifest import check_interface, write_manifest

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    wasm = folder / "ops_wasm32.wasm"
    fresh = wasm.with_name("ops_wasm32.new.wasm")
    # A library of one operator is to be small.
    link(folder / "libops_wasm32.a", fresh, max_memory, fast=len(good) > 1)
    check_interface(fresh.read_bytes(), folder.name)
    write_headers(good, folder / "include")
    write_manifest(folder, fresh, good, max_memory)
    fresh.replace(wasm)


@_step
def check_operators(folders: list[Path], names: list[str], workers: int) -> Any:
    """Fail where an operator could not be compiled, with every reason."""
    del workers  # it was for the tasks before this one
    reasons = {
        description["error"]
        for folder in folders
        for description in descriptions(folder / "obj", names).values()
        if "error" in description
    }
    if reasons:
        return TaskFailed(
            f"{len(reasons)} operator(s) failed; the library holds the others:\n"
            + "\n".join(sorted(reasons))
        )
    return None


# A recipe says so where its model takes long to build or to verify.
_HEAVY = re.compile(r"^HEAVY = True$", re.M)
_MODEL_SUFFIXES = (".onnx", ".mindir", ".py")


def model_sources(folder: Path, heavy: bool) -> dict[str, Path]:
    """Model files and recipes by name; names that start with _ are neither.

    heavy: those that `build` leaves out, the networks in the onnx package with them.
    """
    found = {
        p.stem: p
        for p in sorted(folder.glob("*"))
        if p.suffix in _MODEL_SUFFIXES
        and not p.name.startswith("_")
        and heavy == bool(p.suffix == ".py" and _HEAVY.search(p.read_text()))
    }
    return found | _light_models() if heavy else found


def model_file(source: Path, models: Path) -> Path:
    """The file that a model is compiled from: its own, or what its recipe writes."""
    if source.suffix != ".py":
        return source
    return models / source.stem / f"{source.stem}.onnx"


def _light_models() -> dict[str, Path]:
    """The onnx package's own networks: real graphs whose weights are one number."""
    wanted = "onnx/backend/test/data/light/light_*.onnx"
    files = [Path(p.locate()) for p in files_of("onnx") or () if p.match(wanted)]
    return {p.stem: p for p in sorted(files)}


# LeNet shows, in float and in int8, that every target runs models. What a target adds
# to another model are seconds of building, and for the networks of the onnx package
# hundreds of megabytes.
_EVERY_TARGET = ("lenet", "lenet_int8")


def model_targets(name: str, targets: Iterable[str]) -> list[str]:
    """Those of the targets that a model of models/ is built for."""
    if name in _EVERY_TARGET:
        return list(targets)
    wanted = ("simd128",) if name.startswith("light_") else ("simd128", "relaxed-simd")
    return [t for t in targets if t in wanted]


@_step
def run_recipe(source: Path, out: Path) -> Any:
    """Write the ONNX file of a recipe."""
    from toolchain.recipe import write_model

    write_model(source, out)


@_step
def compile_model(
    file: Path, target: str, folder: Path, runtime: list[Path], **options: Any
) -> Any:
    """Compile a model file for a target."""
    from toolchain.model.build import Options, build_model
    from toolchain.model.compile import Place

    cache = ROOT / "build" / "cache" / target
    show = functools.partial(print, f"  {file.stem} {target}:")
    build_model(file, Options(target, **options), Place(folder, cache), runtime, show)


@_step
def compile_model_file(
    file: str, target: str, out: str, shape: list[str], winograd: bool, weights: str
) -> Any:
    """Compile the model file that the command line names."""
    from toolchain.frontends import shapes_of
    from toolchain.spec import SpecError

    path, folder, runtime = _model_file(file, target, out)
    if weights not in ("embedded", "external"):
        raise SpecError(f"--weights {weights!r} is unknown; use embedded or external")
    options = {"external": weights == "external", "winograd": winograd}
    shapes = shapes_of(shape)
    failed = compile_model(path, target, folder, runtime, shapes=shapes, **options)
    if failed is None:
        from toolchain.frontends import plain

        wasm = folder / f"{plain(path.stem)}.wasm"
        print(f"{wasm}: {wasm.stat().st_size} bytes")
    return failed


def _model_file(file: str, target: str, out: str) -> tuple[Path, Path, list[Path]]:
    """What the command line says of a model: its file, folder and runtime's objects."""
    from toolchain.frontends import plain
    from toolchain.spec import SpecError

    if not file:
        raise SpecError("give the model: --file net.onnx")
    if target not in TARGETS:
        raise SpecError(f"--target {target!r} is unknown; use {', '.join(TARGETS)}")
    path = Path(file)
    default = ROOT / "build" / "models" / plain(path.stem) / target
    objects = ROOT / "build" / target / "runtime"
    runtime = [
        objects / f"{s.stem}.o" for s in sorted((ROOT / "runtime_stub").glob("*.c"))
    ]
    return path, Path(out) if out else default, runtime


@_step
def trace_model_file(
    file: str, target: str, out: str, shape: list[str], winograd: bool
) -> Any:
    """Build the traced module of a model, time its steps and draw the page."""
    from toolchain.frontends import shapes_of
    from toolchain.model.build import Options
    from toolchain.model.compile import Place
    from toolchain.model.trace import build_trace

    path, folder, runtime = _model_file(file, target, out)
    place = Place(
        folder if out else folder / "trace", ROOT / "build" / "cache" / target
    )
    options = Options(target, shapes_of(shape), winograd=winograd)
    build_trace(path, options, place, runtime)
    return _bench_module("bench.trace", [str(place.folder)])


def prepare() -> None:
    """Make doit keep its record whole, and end on Ctrl-C with a plain message."""
    from toolchain.database import make_atomic

    make_atomic()
    main = os.getpid()

    def interrupted(*_: object) -> None:
        if os.getpid() != main:  # a worker: the main process speaks for all
            os._exit(130)
        sys.exit("interrupted; the next build goes on from here")

    signal.signal(signal.SIGINT, interrupted)


def profile_or_exit(name: str | None) -> Profile:
    """The profile of doit's variable `profile`; ends the program on a mistake."""
    try:
        return load_profile(Path(name) if name else None)
    except ProfileError as error:
        sys.exit(f"error: {error}")


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


def compile_settings(target: str, dtypes: tuple[str, ...] | None) -> dict[str, Any]:
    """Every setting that changes an object, beside its sources: for config_changed."""
    return {
        "target": dataclasses.asdict(TARGETS[target]),
        "dtypes": dtypes,
        "tools": tool_versions(),
        "overrides": {name: os.environ.get(name) for name in ("CLANG",)},
    }


def compiled(out: Path) -> bool:
    """Whether an object is there; a failed operator has none and is tried again."""
    return out.with_suffix(".o").exists()


def clean(folder: Path) -> None:
    """Remove a build folder."""
    shutil.rmtree(folder, ignore_errors=True)


@_step
def make_packages(targets: dict[str, Path], folder: Path) -> Any:
    """Write the SDK archive and the Python wheel."""
    from toolchain.package import PackageError, package_paths, write_sdk, write_wheel

    sdk, wheel = package_paths(folder)
    try:
        write_sdk(targets, sdk)
        write_wheel(targets, wheel)
    except PackageError as error:
        return TaskFailed(str(error))
    for path in (sdk, wheel):
        print(f"{path}: {path.stat().st_size} bytes")
    return None


def refuse_packages(profile: str) -> Any:
    """Fail: packages hold every operator for every target."""
    folder = load_profile(Path(profile)).folder
    return TaskFailed(
        f"packages are made of the full library, not of profile {profile}; run `doit "
        f"package`, or take the profile's artifacts from {folder}"
    )


@_step
def run_tests(operator: str, profile: str | None) -> Any:
    """Run all tests, or the verification of one operator or of a profile's build."""
    names = profile_or_exit(profile).operators
    if operator and operator not in names:
        return TaskFailed(f"operator {operator!r} is unknown; use {', '.join(names)}")
    words = [sys.executable, "-m", "pytest", "-q", f"-n{os.cpu_count() or 1}"]
    if operator or profile:
        words += ["tests/test_operators.py", f"--operator={operator}"]
        words += [f"--profile-file={profile}"] if profile else []
    done = subprocess.run(words, cwd=ROOT, check=False)
    if done.returncode:
        return TaskFailed(f"the tests failed (pytest's exit code {done.returncode})")
    return None


@_step
def run_node_cases(target: str, runtime: Path) -> Any:
    """Run ONNX's node test cases; write which operators of models are supported."""
    command = [sys.executable, "tests/node_cases.py"]
    command += ["--target", target, "--runtime", str(runtime)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "embed" / "python")])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return None if done.returncode == 0 else TaskFailed("the cases did not run")


@_step
def run_mutants(count: int, seed: int, only: str) -> Any:
    """Change the runtime in one place after the other; the tests must notice."""
    command = [sys.executable, "tests/mutants.py", f"--count={count}", f"--seed={seed}"]
    done = subprocess.run([*command, f"--only={only}"], cwd=ROOT, check=False)
    return None if done.returncode == 0 else TaskFailed("too many mutants survive")


def bench_tasks(words: list[str], models: list[str]) -> list[str]:
    """Tasks that `doit bench models` needs, by the words of the command line.

    models: those that it can measure. doit reads a task's own words too late for this.
    """
    if "bench" not in words:
        return []
    what, *named = *words[words.index("bench") + 1 :], ""
    wanted = [m for m in models if m in named] if any(named) else models
    return [f"bench_models:{m}:*" for m in wanted] if what == "models" else []


@_step
def run_bench(words: list[str], build: Path) -> Any:
    """Measure the library in `build`, or its models, beside their peers."""
    return _bench(["--build", str(build), *words])


@_step
def update_speed() -> Any:
    """Write the last measurements into the README."""
    return _bench(["--readme", str(ROOT / "README.md")])


def _bench(words: list[str]) -> Any:
    return _bench_module("bench", ["--folder", str(ROOT / "build" / "bench"), *words])


def _bench_module(module: str, words: list[str]) -> Any:
    """Run a module of bench/, with one thread."""
    command = [sys.executable, "-m", module, *words]
    # numpy reads its number of threads when it is imported.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **threads}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        return TaskFailed(f"the bench failed (exit code {done.returncode}); see above")
    return None


@_step
def update_matrix() -> Any:
    """Write the matrix into the README."""
    from toolchain.matrix import MatrixError, update_readme

    try:
        update_readme(ROOT / "README.md")
    except MatrixError as error:
        return TaskFailed(str(error))
    return None
