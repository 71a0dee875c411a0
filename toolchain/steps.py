"""Steps: what the tasks of dodo.py do, one function each.

Modules that take long to import are imported inside, so that `doit list` and a
build with nothing to do stay fast. Expected failures become doit's TaskFailed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import files as files_of
from pathlib import Path
from typing import Any, ParamSpec

from doit.exceptions import TaskFailed

from toolchain.process.command import replacement, tool_versions
from toolchain.profile import ROOT, Profile, ProfileError, load_profile
from toolchain.records.lock import Lock
from toolchain.records.made import Made
from toolchain.records.replace import fresh, scratch
from toolchain.targets import TARGETS

P = ParamSpec("P")


def _step(function: Callable[P, Any]) -> Callable[P, Any]:
    """Turn a user's mistake, a failed tool or a full disk into a plain message."""

    @functools.wraps(function)
    def action(*args: P.args, **kwargs: P.kwargs) -> Any:
        from toolchain.link.module import ModuleError
        from toolchain.link.package import PackageError
        from toolchain.process.command import ToolError
        from toolchain.records.made import ChangedError
        from toolchain.spec import SpecError

        expected = (ToolError, SpecError, ModuleError, PackageError, ChangedError)
        try:
            return function(*args, **kwargs)
        except expected as error:
            return TaskFailed(f"{error}{_again(getattr(error, 'options', []))}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return TaskFailed(f"{where}{error.strerror or error}")

    return action


def _again(options: list[str]) -> str:
    """The command line with options that it lacks, to be pasted."""
    if not options:
        return ""
    return f"\nrun: {shlex.join([*sys.argv, *options])}"


@_step
def make(made: Made, step: Callable[..., Iterable[str] | None], *args: Any) -> None:
    """Make outputs by a step, and record what they were made from."""
    made.make(lambda: step(*args))


def compile_operator(
    path: Path, target: str, dtypes: tuple[str, ...] | None, out: Path, timeout: float
) -> Iterable[str]:
    """Compile one operator; roots of what it names at run time.

    A mistake in its file is reported and kept for `check_operators`.
    """
    from toolchain.codegen.child import compile_in_child

    reason = compile_in_child(path, target, dtypes, out, timeout)
    if reason is not None:
        print(f"FAILED {target}: {reason}")
        return []
    code: list[str] = descriptions(out.parent, [out.name])[out.name]["code"]
    return code


def compile_runtime(source: Path, target: str, out: Path) -> None:
    """Compile one C file of the runtime."""
    from toolchain.link.clang import compile_c

    with fresh(out) as new:
        compile_c(source, TARGETS[target], new)


def descriptions(folder: Path, names: list[str]) -> dict[str, Any]:
    """Description of each compiled operator by name ({"error": ...}: it failed)."""
    return {n: json.loads((folder / f"{n}.json").read_text()) for n in names}


def make_archive(folder: Path, names: list[str], runtime: list[Path]) -> None:
    """Emit the operator table and archive it with objects and runtime."""
    from toolchain.codegen.descriptor import Room, room, table
    from toolchain.codegen.objects import emit
    from toolchain.link.archive import archive

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    kernels = [k for d in good.values() for k in d["kernels"]]
    members = [folder / "obj" / f"{n}.o" for n in good]
    # Apart: a program that names its operators links the room and not the table.
    rooms = [Room(**d["room"]) for d in good.values()]
    with scratch(folder) as own:
        for name, text in (("table", table(kernels)), ("room", room(rooms))):
            members.append(own / f"ops_{name}.o")
            members[-1].write_bytes(emit([text], TARGETS[folder.name]))
        archive([*members, *runtime], folder / "libops_wasm32.a")


def make_module(folder: Path, names: list[str], max_memory: int) -> None:
    """Link the standalone module, check it, write its manifest and headers."""
    from toolchain.link.header import write_headers
    from toolchain.link.link import link
    from toolchain.link.manifest import check_interface, write_manifest
    from toolchain.link.module import validate

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    with fresh(folder / "ops_wasm32.wasm") as wasm:
        # A library of one operator is to be small.
        link(folder / "libops_wasm32.a", wasm, max_memory, fast=len(good) > 1)
        check_interface(wasm.read_bytes(), folder.name)
        write_headers(good, folder / "include")
        write_manifest(folder, wasm, good, max_memory)
        validate(wasm.read_bytes(), str(folder / "ops_wasm32.wasm"))


@_step
def check_operators(folders: list[Path], names: list[str], workers: int) -> Any:
    """Fail where an operator could not be compiled, with every reason."""
    del workers  # it was for the tasks before this one
    from toolchain.link.manifest import clashing_names

    reasons = set()
    for folder in folders:
        found = descriptions(folder / "obj", names)
        good = {n: d for n, d in found.items() if "error" not in d}
        reasons |= {d["error"] for d in found.values() if "error" in d}
        reasons |= set(clashing_names(good))
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


def run_recipe(source: Path, out: Path) -> None:
    """Write the ONNX file of a recipe."""
    from toolchain.recipe import write_model

    write_model(source, out)


def compile_model(
    file: Path, target: str, folder: Path, runtime: list[Path], options: dict[str, Any]
) -> Iterable[str]:
    """Compile a model file for a target; roots of what its kernels were made from."""
    from toolchain.model.build import Options, build_model
    from toolchain.model.compile import Place

    kept = options.pop("archive", False)
    place = Place(folder, ROOT / "build" / "cache" / target, archive=kept)
    show = functools.partial(print, f"  {file.stem} {target}:")
    build_model(file, Options(target, **options), place, runtime, show)
    return place.code


def model_outputs(
    file: Path, folder: Path, options: dict[str, Any]
) -> tuple[Path, ...]:
    """What compiling a model file writes."""
    suffixes = [".wasm", ".manifest.json"]
    suffixes += [".safetensors"] if options.get("external") else []
    return tuple(folder / f"{file.stem}{suffix}" for suffix in suffixes)


def model_code() -> tuple[str, ...]:
    """Roots of what compiles models; converters are found by their files' names."""
    files = sorted((ROOT / "toolchain" / "frontends").glob("onnx_*.py"))
    converters = (f"toolchain.frontends.{file.stem}:" for file in files)
    return "toolchain.model.build:build_model", *converters


@_step
def compile_model_file(
    file: str,
    target: str,
    out: str,
    shape: list[str],
    winograd: bool,
    weights: str,
    dim: Sequence[str] = (),
    value: Sequence[str] = (),
    timeout: float = 600.0,
    archive: bool = False,
) -> Any:
    """Compile the model file that the command line names."""
    from toolchain.frontends import plain
    from toolchain.spec import SpecError

    path, folder, runtime = _model_file(file, target, out)
    if weights not in ("embedded", "external"):
        raise SpecError(f"--weights {weights!r} is unknown; use embedded or external")
    options = _given(shape, dim, value, timeout)
    options |= {"external": weights == "external", "winograd": winograd}
    options["archive"] = archive
    compile_model(path, target, folder, runtime, options)
    wasm = folder / f"{plain(path.stem)}.wasm"
    print(f"{wasm}: {wasm.stat().st_size} bytes")


def _given(
    shape: Sequence[str], dim: Sequence[str], value: Sequence[str], timeout: float
) -> dict[str, Any]:
    """What the command line says of a model's inputs, as Options have it."""
    from toolchain.frontends import dims_of, shapes_of, values_of
    from toolchain.spec import SpecError

    if not timeout > 0:
        raise SpecError(f"--timeout {timeout:g} is no time; give seconds, as in 600")
    found = {"shapes": shapes_of(shape), "dims": dims_of(dim)}
    return found | {"values": values_of(value), "timeout": timeout}


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
    file: str,
    target: str,
    out: str,
    shape: list[str],
    winograd: bool,
    dim: Sequence[str] = (),
    value: Sequence[str] = (),
    timeout: float = 600.0,
) -> Any:
    """Build the traced module of a model, time its steps and draw the page."""
    from toolchain.model.build import Options
    from toolchain.model.compile import Place
    from toolchain.model.trace import build_trace

    path, folder, runtime = _model_file(file, target, out)
    place = Place(
        folder if out else folder / "trace", ROOT / "build" / "cache" / target
    )
    given = _given(shape, dim, value, timeout)
    options = Options(target, winograd=winograd, **given)
    build_trace(path, options, place, runtime)
    return _bench_module("bench.trace", [str(place.folder)])


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


@functools.cache
def settings(target: str | None, *tools: str, models: bool = False) -> Any:
    """What decides an output beside its sources: target, tools, their replacements.

    tools: variables that replace one. models: whether ONNX files are read or written.
    """
    return [
        dataclasses.asdict(TARGETS[target]) if target else None,
        tool_versions(models),
        {variable: replacement(variable) for variable in tools},
    ]


def clean(folder: Path) -> None:
    """Remove a build folder, when nobody builds in it."""
    lock = Lock(folder)
    lock.take(print)
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def make_packages(targets: dict[str, Path], folder: Path) -> None:
    """Write the SDK archive and the Python wheel."""
    from toolchain.link.package import package_paths, write_sdk, write_wheel

    sdk, wheel = package_paths(folder)
    write_sdk(targets, sdk)
    write_wheel(targets, wheel)
    for path in (sdk, wheel):
        print(f"{path}: {path.stat().st_size} bytes")


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


# A processor with AVX2 and neither AVX-512 nor VNNI, as qemu names it; and tests that
# compare 8-bit products with ONNX Runtime's, which differ there.
_OLD_CPU = "Haswell-noTSX"
_OLD_CPU_TESTS = ("tests/test_onnx.py", "-k", "matmul_integer_uint8_int8")


@_step
def run_on_old_cpu() -> Any:
    """Run the tests whose references depend on the processor on an emulated one."""
    emulator = shutil.which("qemu-x86_64")
    if platform.machine() not in ("x86_64", "AMD64"):
        return TaskFailed("old_cpu emulates an x86-64 processor on x86-64 alone")
    if emulator is None:
        return TaskFailed(
            "qemu-x86_64 is not on the path; install it (Debian: qemu-user)"
        )
    words = [emulator, "-cpu", _OLD_CPU, sys.executable, "-m", "pytest", "-q"]
    words += ["-p", "no:cacheprovider", *_OLD_CPU_TESTS]
    # qemu warns of features that it leaves out, once for each process.
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    if done.returncode:
        return TaskFailed(f"the tests failed (pytest's exit code {done.returncode})")
    return None


@_step
def run_fuzz(kind: str, seed: int, count: int, build: Path) -> Any:
    """Try random cases of what must hold for any input (tests/fuzz)."""
    command = [sys.executable, "-m", "fuzz", "--kind", kind, "--build", str(build)]
    command += ["--seed", str(seed), "--count", str(count)]
    paths = [ROOT, ROOT / "tests", ROOT / "embed" / "python"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return TaskFailed("cases failed; see above") if done.returncode else None


@_step
def run_node_cases(target: str, runtime: Path) -> Any:
    """Run ONNX's node test cases; write which operators of models are supported."""
    words = ["--target", target, "--runtime", str(runtime)]
    done = _run_test_program("node_cases", words)
    return None if done == 0 else TaskFailed("the cases did not run")


@_step
def run_one_node(build: Path) -> Any:
    """Run the library's cases as models of one node each."""
    done = _run_test_program("one_node", ["--build", str(build)])
    return (
        None if done == 0 else TaskFailed("models differ from the library; see above")
    )


def _run_test_program(name: str, words: list[str]) -> int:
    """Run a program of tests/; its exit code."""
    command = [sys.executable, f"tests/{name}.py", *words]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "embed" / "python")])
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


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
    """Write the last measurements into docs/speed.md, and draw the picture of them."""
    return _bench(["--page", str(ROOT / "docs" / "speed.md")])


@_step
def update_sizes() -> Any:
    """Write the sizes of the peers into docs/speed.md."""
    return _bench(["--page", str(ROOT / "docs" / "speed.md"), "--sizes"])


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
    """Write docs/operators.md, and the list of primitives in docs/mindir.md."""
    from toolchain.matrix import MatrixError, write_lists

    try:
        write_lists(ROOT / "docs")
    except MatrixError as error:
        return TaskFailed(str(error))
    return None
