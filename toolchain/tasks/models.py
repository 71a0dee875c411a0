"""Models: the files of models/, and those that the bench measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toolchain.link.artifacts import ARCHIVE
from toolchain.profile import ROOT, Profile
from toolchain.targets import DEFAULT, simd_families
from toolchain.tasks.library import runtime_names, runtime_objects, settings
from toolchain.tasks.making import Task, made
from toolchain.tasks.model_files import READ, compile_model, compile_open

_SUFFIXES = (*READ, ".py")
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
    options: dict[str, Any] = {"external": True}
    return made(
        *(compile_open, file, target, folder, runtime, options),
        outputs=_outputs(file, folder, options),
        files=(file, profile.folders[target] / ARCHIVE),
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
        fixed = "toolchain.model.build:build_fixed"
        return fixed, *open_code(), *_converters("primitives", "*.py")
    converters = [*_converters("", "onnx_*.py"), *_converters("nodes", "*.py")]
    return "toolchain.model.build:build_model", *converters


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
