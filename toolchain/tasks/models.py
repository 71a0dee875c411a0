"""Models: the files of models/, and the files that a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toolchain.link.artifacts import ARCHIVE as ARCHIVE_FILE
from toolchain.profile import ROOT, Profile, full_profile
from toolchain.targets import DEFAULT, TARGETS, simd_families
from toolchain.tasks.library import (
    current_objects,
    runtime_names,
    runtime_objects,
    settings,
)
from toolchain.tasks.making import Task, command, made, option

CACHE = ROOT / "build" / "cache"  # a folder for each target
# Of files that a command line names: `build` has models/ beside it for its own.
FILES = ROOT / "build" / "files"
_READ = (".onnx", ".mindir")  # what `doit model` takes
_SUFFIXES = (*_READ, ".py")
# A recipe says so where its model takes long to build or to verify.
_HEAVY = "\nHEAVY = True\n"
# LeNet shows, in float and in int8, that every target runs models. Others are built for
# each set of features with SIMD, and the networks of the onnx package for the default
# alone: a target adds seconds of building, and to these hundreds of megabytes.
_EVERY_TARGET = ("lenet", "lenet_int8")


@cache
def sources(heavy: bool) -> dict[str, Path]:
    """Model files and recipes by name; names that start with _ are neither.

    heavy: what `build` leaves out, with the networks of the onnx package.
    """
    found = {
        p.stem: p
        for p in sorted((ROOT / "models").glob("[!_]*"))
        if p.suffix in _SUFFIXES
        and heavy == (p.suffix == ".py" and _HEAVY in p.read_text())
    }
    return found | _light_models() if heavy else found


def _light_models() -> dict[str, Path]:
    """The onnx package's own networks: real graphs whose weights are one number."""
    package = find_spec("onnx")
    folders = (package.submodule_search_locations if package else None) or ()
    light = "backend/test/data/light"
    files = sorted(f for p in folders for f in Path(p, light).glob("light_*.onnx"))
    return {path.stem: path for path in files}


def file_of(source: Path, models: Path) -> Path:
    """The file that a model is compiled from: its own, or what its recipe writes."""
    if source.suffix != ".py":
        return source
    return models / source.stem / f"{source.stem}.onnx"


def targets_of(name: str, targets: Iterable[str]) -> list[str]:
    """Those of the targets that a model of models/ is built for."""
    if name in _EVERY_TARGET:
        return list(targets)
    wanted = [family[0].name for family in simd_families()]
    wanted = [DEFAULT] if name.startswith("light_") else wanted
    return [t for t in targets if t in wanted]


def model_tasks(profile: Profile, heavy: bool) -> Iterator[Task]:
    """What recipes write, and the modules of models."""
    models = profile.folder / "models"
    for name, source in sources(heavy).items():
        file = file_of(source, models)
        if file != source:
            yield made(
                *(run_recipe, source, file),
                outputs=(file,),
                files=(source,),
                settings=settings(None, models=True),
                name=f"{name}:file",
            )
        for target in targets_of(name, profile.targets):
            folder = models / name / target
            yield _module_task(f"{name}:{target}", profile, name, folder)


def bench_tasks(
    profile: Profile, rows: Iterable[Any], targets: Sequence[str]
) -> Iterator[Task]:
    """The modules that the rows of the bench measure, weights beside them."""
    known = sources(heavy=False) | sources(heavy=True)
    for row in (r for r in rows if r.model in known):
        folder = row.folder(profile.folder / "models")
        for target in (t for t in targets if t in profile.targets):
            name = f"{row.model}:{folder.name}:{target}"
            options = {"external": True, **row.options}
            yield _module_task(name, profile, row.model, folder / target, **options)


def open_bench_tasks(
    profile: Profile, rows: Iterable[Any], targets: Sequence[str]
) -> Iterator[Task]:
    """The files of the bench's rows with open sizes, and their modules.

    A module leaves the sizes open, and others are compiled for each set of them.
    """
    models = profile.folder / "models"
    known = sources(heavy=False) | sources(heavy=True)
    for row in rows:
        source, file = known[row.model], row.file(models)
        named = f"{row.key}:file"
        yield made(
            *(run_recipe, source, file, row.arguments),
            outputs=(file,),
            files=(source,),
            settings=[settings(None, models=True), dict(row.arguments)],
            name=named,
        )
        after = [f"bench_models:{named}"]
        for target in (t for t in targets if t in profile.targets):
            folder = row.folder(models) / target
            yield _open_task(f"{row.key}:{target}", profile, file, folder, after)
            for sizes in row.sizes:
                folder = row.folder(models, sizes) / target
                task = f"{row.key}:{folder.parent.name}:{target}"
                options = {"external": True, "dims": dict(sizes)}
                yield _file_task(task, profile, file, folder, after, options)


def _open_task(
    task: str, profile: Profile, file: Path, folder: Path, after: Iterable[str]
) -> Task:
    """The module of a file whose sizes stay open, weights beside it."""
    target = folder.name
    runtime = runtime_objects(profile.folders[target])
    options: dict[str, Any] = {"external": True, "archive": False}
    return made(
        *(compile_open, file, target, folder, runtime, options),
        outputs=_outputs(file, folder, options),
        files=(file, profile.folders[target] / ARCHIVE_FILE),
        settings=settings(target, "CLANG", "LLVM_AR", "WASM_LD", models=True),
        code=open_code(),
        named=profile.numbers[target],
        name=task,
        after=[*after, f"archive:{target}"],
    )


def _module_task(
    task: str, profile: Profile, name: str, folder: Path, **options: Any
) -> Task:
    """The module of a model of models/, in a folder named after a target."""
    heavy = name in sources(heavy=True)
    source = sources(heavy)[name]
    file = file_of(source, profile.folder / "models")
    after: list[str] = []
    if file != source:
        after.append(f"{'heavy_models' if heavy else 'models'}:{name}:file")
    if file.suffix != ".onnx":  # linked from the library's own objects
        after += [f"compile:{folder.name}:{name}" for name in profile.operators]
    return _file_task(task, profile, file, folder, after, options)


def _file_task(
    task: str,
    profile: Profile,
    file: Path,
    folder: Path,
    after: Iterable[str],
    options: Mapping[str, Any],
) -> Task:
    """The module of a file, in a folder named after a target."""
    target, runtime = folder.name, runtime_objects(profile.folders[folder.name])
    tools = settings(target, "CLANG", "LLVM_AR", "WASM_LD", models=True)
    return made(
        *(
            compile_model,
            file,
            target,
            folder,
            runtime,
            options,
            profile.tuning[target],
        ),
        outputs=_outputs(file, folder, options),
        files=(file, *runtime),
        settings=[tools, options],
        code=code(file.suffix),
        named=profile.numbers[target],
        name=task,
        after=[*after, *runtime_names(target)],
    )


def _outputs(file: Path, folder: Path, options: Mapping[str, Any]) -> list[Path]:
    """What compiling a model file writes."""
    suffixes = [".wasm", ".manifest.json"]
    suffixes += [".safetensors"] if options.get("external") else []
    return [folder / f"{file.stem}{suffix}" for suffix in suffixes]


@cache
def code(suffix: str = ".onnx") -> tuple[str, ...]:
    """Roots of what compiles models; converters are found by their files' names."""
    if suffix != ".onnx":
        return *open_code(), *_converters("primitives", "*.py")
    return "toolchain.model.build:build_model", *_converters("", "onnx_*.py")


@cache
def open_code() -> tuple[str, ...]:
    """Roots of what compiles models whose sizes stay open."""
    return "toolchain.model.open:build_open", *_converters("nodes", "*.py")


def _converters(folder: str, pattern: str) -> list[str]:
    """Roots of frontends that are found by their files' names."""
    files = sorted((ROOT / "toolchain" / "frontends" / folder).glob(pattern))
    package = ".".join(("toolchain.frontends", *filter(None, [folder])))
    return [f"{package}.{f.stem}:" for f in files if f.stem != "__init__"]


def run_recipe(
    source: Path, out: Path, sizes: Mapping[str, int | str] | None = None
) -> None:
    """Write the ONNX file of a recipe; sizes: as `write_model` has them."""
    from toolchain.recipe import write_model

    write_model(source, out, sizes)


def compile_model(
    file: Path,
    target: str,
    folder: Path,
    runtime: Sequence[Path],
    options: Mapping[str, Any],
    numbers: Mapping[str, int] | None = None,
) -> Iterable[str]:
    """Compile a model file for a target; roots of what its kernels were made from."""
    from toolchain.model.build import Options, build_model
    from toolchain.model.compile import Place

    if file.suffix == ".mindir":
        return compile_open(file, target, folder, runtime, options, numbers)
    options = dict(options)
    kept = options.pop("archive", False)
    place = Place(folder, CACHE / target, archive=kept)
    show = partial(print, f"  {file.stem} {target}:")
    wanted = Options(target, **options, numbers=numbers or {})
    build_model(file, wanted, place, list(runtime), show)
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
    from toolchain.graph.build import Place
    from toolchain.model.build import Options
    from toolchain.model.open import build_open

    options = dict(options)
    kept = options.pop("archive", False)
    ready = {} if numbers else current_objects(full_profile(), target)
    place = Place(folder, CACHE / target, archive=kept, ready=ready)
    show = partial(print, f"  {file.stem} {target}:")
    wanted = Options(target, **options, numbers=numbers or {})
    build_open(file, wanted, place, runtime, show)
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
    """Compile a model file. options: those of `OPTIONS`, by name.

    Sizes that neither the file nor the options give stay open. So does what the file
    leaves to a call, such as how often a loop runs or how many elements are found.
    """
    from toolchain.frontends import OpenSizesError, plain
    from toolchain.process.confined import LimitError
    from toolchain.spec import SpecError

    path, folder, runtime = place_of(file, target, out)
    if weights not in ("embedded", "external"):
        raise SpecError(f"--weights {weights!r} is unknown; use embedded or external")
    given = given_options(**options) | {"external": weights == "external"}
    given["archive"] = archive
    try:
        compile_model(path, target, folder, runtime, given)
    except LimitError:
        raise
    except SpecError as error:
        if path.suffix != ".onnx":
            raise
        try:
            compile_open(path, target, folder, runtime, given)
        except SpecError as other:
            raise (other if isinstance(error, OpenSizesError) else error) from None
    wasm = folder / f"{plain(path.stem)}.wasm"
    print(f"{wasm}: {wasm.stat().st_size} bytes")


def place_of(file: str, target: str, out: str) -> tuple[Path, Path, tuple[Path, ...]]:
    """What the command line says of a model: its file, folder and runtime's objects."""
    from toolchain.spec import SpecError

    if not file:
        raise SpecError("give the model: --file net.onnx")
    if target not in TARGETS:
        raise SpecError(f"--target {target!r} is unknown; use {', '.join(TARGETS)}")
    path = Path(file)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in _READ)
        raise SpecError(
            f"--file {file}: is a folder; give a file, .onnx or .mindir: it holds "
            f"{', '.join(inside[:5]) or 'none'}{', ...' if inside[5:] else ''}"
        )
    folder = Path(out) if out else folder_of(path, target)
    return path, folder, runtime_objects(ROOT / "build" / target)


def folder_of(file: Path, target: str) -> Path:
    """Where the files made of a model file lie, unless the command line says."""
    from toolchain.frontends import plain

    return FILES / plain(file.stem) / target


def given_options(
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
