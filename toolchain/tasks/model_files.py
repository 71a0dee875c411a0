"""Model files: those that a command line names, compiled or traced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.profile import full_profile
from toolchain.records.places import BUILT, WORK
from toolchain.targets import DEFAULT, TARGETS
from toolchain.tasks.library import current_objects, runtime_objects
from toolchain.tasks.making import Task, command, option

CACHE = WORK / "cache"  # a folder for each target
# Of files that a command line names: `build` has models/ beside it for its own.
FILES = WORK / "files"
READ = (".onnx", ".mindir")  # what is compiled


def compile_model(
    file: Path,
    target: str,
    folder: Path,
    runtime: Sequence[Path],
    options: Mapping[str, Any],
    numbers: Mapping[str, int] | None = None,
) -> Iterable[str]:
    """Compile a model file for a target; roots of what its kernels were made from."""
    result = Result(folder, show=_printed(file, target))
    return _compile_fixed(file, target, runtime, options, result, numbers)


@dataclass(frozen=True)
class Result:
    """What a model file becomes: files in a folder. name: theirs, if not the model's.

    archive: whether lib<name>.a is written too. show: is told what is being done.
    """

    folder: Path
    name: str = ""
    archive: bool = False
    show: Callable[[str], None] = print

    def wasm(self, file: Path) -> Path:
        """The module of a model file."""
        from toolchain.frontends import plain

        return self.folder / f"{self.name or plain(file.stem)}.wasm"


def _printed(file: Path, target: str) -> Callable[[str], None]:
    """Prints what is done to a model, a line each."""
    return partial(print, f"  {file.stem} {target}:")


def _compile_fixed(
    file: Path,
    target: str,
    runtime: Sequence[Path],
    options: Mapping[str, Any],
    result: Result,
    numbers: Mapping[str, int] | None = None,
) -> Iterable[str]:
    """As compile_model, into a result."""
    from toolchain.graph.build import Place
    from toolchain.model.build import Options, build_fixed, build_model
    from toolchain.model.fixed import OpenError

    cache = CACHE / target
    place = Place(result.folder, cache, archive=result.archive, name=result.name)
    wanted = Options(target, **options, numbers=numbers or {})
    if file.suffix != ".mindir":
        build_model(file, wanted, place, list(runtime), result.show)
        return place.code
    try:
        build_fixed(file, wanted, place, list(runtime), result.show)
    except OpenError:
        return _compile_open(file, target, runtime, options, result, numbers)
    return place.code


def compile_open(
    file: Path,
    target: str,
    folder: Path,
    runtime: Sequence[Path],
    options: Mapping[str, Any],
    numbers: Mapping[str, int] | None = None,
) -> Iterable[str]:
    """Compile a model of any sizes: MindIR, or ONNX whose sizes or nodes need that.

    Roots of what its operators were made from, but for those of the library.
    """
    result = Result(folder, show=_printed(file, target))
    return _compile_open(file, target, runtime, options, result, numbers)


def _compile_open(
    file: Path,
    target: str,
    runtime: Sequence[Path],
    options: Mapping[str, Any],
    result: Result,
    numbers: Mapping[str, int] | None = None,
) -> Iterable[str]:
    """As compile_open, into a result."""
    from toolchain.graph.build import Place
    from toolchain.model.build import Options
    from toolchain.model.open import build_open

    place = Place(
        result.folder,
        CACHE / target,
        archive=result.archive,
        name=result.name,
        ready={} if numbers else current_objects(full_profile(), target),
    )
    wanted = Options(target, **options, numbers=numbers or {})
    build_open(file, wanted, place, runtime, result.show)
    return place.code


OPTIONS = (
    option("file", "", "the model: .onnx or .mindir", "f"),
    option("target", DEFAULT, f"one of {', '.join(TARGETS)}", "t"),
    option("out", "", "folder for the files (build/files/<name>/<target>)", "o"),
    option("shape", [], "an input's shape, as in image=1,3,224,224", "s"),
    option("dim", [], "a size that the file leaves open: seq=128, or seq=1..512"),
    option("value", [], "an input made a constant, as in rate=16000 or axes=1,2"),
    option("timeout", 600.0, "seconds for reading the model"),
    option("winograd", False, "3x3 convolutions with fewer multiplications"),
)
WEIGHTS = option("weights", "embedded", "embedded, or external: a file beside", "w")

ARCHIVE = option("archive", False, "write lib<name>.a too, for C programs")


def file_task(after: Iterable[str]) -> Task:
    """Compiles the model file that the command line names."""
    options = (*OPTIONS, WEIGHTS, ARCHIVE)
    return command(compile_file, after=after, options=options, reads=True)


def compile_file(
    file: str,
    target: str,
    out: str,
    weights: str,
    archive: bool = False,
    **options: Any,
) -> None:
    """Compile a model file. options: those of `OPTIONS`, by name."""
    path, folder = _place(file, target, out)
    result = Result(folder, archive=archive, show=_printed(path, target))
    wasm = compile_any(path, target, weights, result, **options)
    print(f"{wasm}: {wasm.stat().st_size} bytes")


def compile_any(
    path: Path, target: str, weights: str, result: Result, **options: Any
) -> Path:
    """Compile a model file; its module. options: those of `OPTIONS`, by name.

    Sizes that neither the file nor the options give stay open. So does what the file
    leaves to a call, such as how often a loop runs or how many elements are found.
    """
    from toolchain.frontends import OpenSizesError
    from toolchain.process.confined import LimitError
    from toolchain.spec import SpecError

    runtime = runtime_objects(BUILT / target)
    if weights not in ("embedded", "external"):
        raise SpecError(f"--weights {weights!r} is unknown; use embedded or external")
    given = _given(**options) | {"external": weights == "external"}
    try:
        _compile_fixed(path, target, runtime, given, result)
    except LimitError:
        raise
    except SpecError as error:
        if path.suffix != ".onnx":
            raise
        try:
            _compile_open(path, target, runtime, given, result)
        except SpecError as other:
            raise (other if isinstance(error, OpenSizesError) else error) from None
    return result.wasm(path)


def _place(file: str, target: str, out: str) -> tuple[Path, Path]:
    """What the command line says of a model: its file, and the folder for others."""
    from toolchain.spec import SpecError

    if not file:
        raise SpecError("give the model: --file net.onnx")
    path = checked(file, target, "--file ")
    return path, Path(out) if out else folder_of(path, target)


def checked(file: str, target: str, what: str) -> Path:
    """The path of a model file. what: stands before it in errors: SpecError."""
    from toolchain.spec import SpecError

    if target not in TARGETS:
        raise SpecError(f"--target {target!r} is unknown; use {', '.join(TARGETS)}")
    path = Path(file)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in READ)
        raise SpecError(
            f"{what}{file}: is a folder; give a file, .onnx or .mindir: it holds "
            f"{', '.join(inside[:5]) or 'none'}{', ...' if inside[5:] else ''}"
        )
    return path


def folder_of(file: Path, target: str) -> Path:
    """Where the files made of a model file lie, unless the command line says."""
    from toolchain.frontends import plain

    return FILES / plain(file.stem) / target


def _given(
    shape: Sequence[str],
    dim: Sequence[str],
    value: Sequence[str],
    timeout: float,
    winograd: bool,
) -> dict[str, Any]:
    """What the command line says of how to build, as `Options` have it."""
    from toolchain.frontends import dims_of, shapes_of, values_of
    from toolchain.spec import SpecError

    if not timeout > 0:
        raise SpecError(f"--timeout {timeout:g} is no time; give seconds, as in 600")
    found = {"shapes": shapes_of(shape), "dims": dims_of(dim)}
    found |= {"values": values_of(value), "timeout": timeout}
    return found | {"winograd": winograd}


def trace_task(after: Iterable[str]) -> Task:
    """Times the model file that the command line names."""
    return command(trace_file, after=after, options=OPTIONS, reads=True)


def trace_file(file: str, target: str, out: str, **options: Any) -> None:
    """Build the traced module of a model, time its steps and draw the page."""
    from toolchain.model.build import Options
    from toolchain.model.compile import Place
    from toolchain.model.trace import build_trace
    from toolchain.tasks.documents import draw_trace

    path, folder = _place(file, target, out)
    runtime = runtime_objects(BUILT / target)
    place = Place(folder if out else folder / "trace", CACHE / target)
    build_trace(path, Options(target, **_given(**options)), place, list(runtime))
    draw_trace(place.folder)
