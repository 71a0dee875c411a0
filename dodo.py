"""doit's tasks and their order. What they do stands in toolchain/steps.py."""

import os
import sys
from pathlib import Path
from typing import Any

from doit import get_var
from doit.tools import config_changed

from bench.whole import rows
from toolchain import package, steps
from toolchain.profile import ROOT
from toolchain.progress import ProgressReporter
from toolchain.targets import TARGETS

PROFILE = steps.profile_or_exit(get_var("profile"))
TARGET_FOLDERS = {t: PROFILE.folder / t for t in PROFILE.targets}
RUNTIME = sorted((ROOT / "runtime_stub").glob("*.c"))
HEADERS = sorted((ROOT / "runtime_stub").glob("*.h"))
TOOLCHAIN = ROOT / "toolchain"
NAMES = sorted(PROFILE.operators)
MODELS = {h: steps.model_sources(ROOT / "models", heavy=h) for h in (False, True)}
DIST = ROOT / "dist"

PROFILE.folder.mkdir(parents=True, exist_ok=True)
steps.prepare()
DOIT_CONFIG = {
    "default_tasks": ["build"],
    "dep_file": str(PROFILE.folder / ".doit.json"),
    "backend": "json",
    "reporter": ProgressReporter,
    "num_process": steps.workers(sys.argv),
    "continue": True,
    "verbosity": 2,
}


def _modules(*names: str) -> list[str]:
    return [str(TOOLCHAIN / f"{name}.py") for name in names]


LOWERING = _modules(
    *("child", "codegen", "constants", "descriptor", "expressions", "functions"),
    *("infer", "lower", "module"),
    *(p.stem for p in sorted(TOOLCHAIN.glob("microkernel*.py"))),
    *(f"spec/{p.stem}" for p in sorted((TOOLCHAIN / "spec").glob("*.py"))),
)


def task_compile() -> Any:
    """Compile each operator for each target into one wasm32 object."""
    for target, folder in TARGET_FOLDERS.items():
        for name in NAMES:
            path, dtypes = PROFILE.operators[name], PROFILE.dtypes[name]
            out = folder / "obj" / name
            settings = steps.compile_settings(target, dtypes)
            source = path.with_suffix(".c")
            sources = [path]
            if source.exists():
                sources += [source, *HEADERS, TOOLCHAIN / "clang.py"]
            yield {
                "name": f"{target}:{name}",
                "actions": [
                    (
                        steps.compile_operator,
                        (path, target, dtypes, out, PROFILE.compile_timeout),
                    )
                ],
                "file_dep": [*map(str, sources), *LOWERING],
                "targets": [f"{out}.json"],
                "uptodate": [config_changed(settings), (steps.compiled, (out,))],
            }


def task_runtime() -> Any:
    """Compile the C runtime for each target."""
    for target, folder in TARGET_FOLDERS.items():
        for source in RUNTIME:
            out = folder / "runtime" / f"{source.stem}.o"
            yield {
                "name": f"{target}:{source.stem}",
                "actions": [(steps.compile_runtime, (source, target, out))],
                "file_dep": [
                    str(source),
                    *map(str, HEADERS),
                    *_modules("clang", "command"),
                ],
                "targets": [str(out)],
                "uptodate": [config_changed(steps.compile_settings(target, None))],
            }


def task_archive() -> Any:
    """Collect objects, operator table and runtime into libops_wasm32.a."""
    for target, folder in TARGET_FOLDERS.items():
        runtime = [folder / "runtime" / f"{s.stem}.o" for s in RUNTIME]
        yield {
            "name": target,
            "actions": [(steps.make_archive, (folder, NAMES, runtime))],
            "file_dep": [
                *(str(folder / "obj" / f"{n}.json") for n in NAMES),
                *map(str, runtime),
                *_modules("archive", "descriptor"),
            ],
            "targets": [str(folder / "libops_wasm32.a")],
            "uptodate": [config_changed({"names": NAMES})],
        }


def task_module() -> Any:
    """Link each archive into a standalone module; write its manifest and headers."""
    for target, folder in TARGET_FOLDERS.items():
        expected = ROOT / "runtime_stub" / "expected" / f"{target}.txt"
        yield {
            "name": target,
            "actions": [(steps.make_module, (folder, NAMES, PROFILE.max_memory))],
            "file_dep": [
                str(folder / "libops_wasm32.a"),
                *(str(folder / "obj" / f"{n}.json") for n in NAMES),
                str(expected),
                *_modules("link", "manifest", "header", "module"),
            ],
            "targets": [
                str(folder / name)
                for name in (
                    "ops_wasm32.wasm",
                    "manifest.json",
                    "include/ops_wasm32.h",
                    "include/ops_kernels.h",
                )
            ],
            "uptodate": [config_changed({"max_memory": PROFILE.max_memory})],
        }


def task_model() -> Any:
    """Compile a model file: doit model --file net.onnx (see doit help model)."""
    weights = ("weights", "w", str, "embedded", "embedded, or external: a file beside")
    return {
        "actions": [(steps.compile_model_file,)],
        "params": [_param(*option) for option in (*MODEL_OPTIONS, weights)],
        "task_dep": ["runtime"],
        "uptodate": [False],
    }


MODEL_OPTIONS: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("file", "f", str, "", "the model: .onnx or .mindir"),
    ("target", "t", str, "simd128", f"one of {', '.join(TARGETS)}"),
    ("out", "o", str, "", "folder for the files (build/models/<name>/<target>)"),
    ("shape", "s", list, [], "an input's shape, as in image=1,3,224,224"),
    ("winograd", "", bool, False, "3x3 convolutions with fewer multiplications"),
)


def _param(name: str, short: str, kind: Any, default: Any, about: str) -> Any:
    return {
        "name": name,
        "short": short,
        "long": name,
        "type": kind,
        "default": default,
        "help": about,
    }


def task_trace() -> Any:
    """Draw where a model's time and memory go: doit trace --file net.onnx."""
    return {
        "actions": [(steps.trace_model_file,)],
        "params": [_param(*option) for option in MODEL_OPTIONS],
        "task_dep": ["runtime"],
        "uptodate": [False],
    }


def task_models() -> Any:
    """Compile the models of models/ that are small enough for every build."""
    yield from _models(heavy=False)


def task_heavy_models() -> Any:
    """Compile the large models of models/ and of the onnx package."""
    yield from _models(heavy=True)


def _models(heavy: bool) -> Any:
    doc = (task_heavy_models if heavy else task_models).__doc__
    yield {"name": None, "doc": doc}
    for name, source in MODELS[heavy].items():
        folder = PROFILE.folder / "models" / name
        file = steps.model_file(source, folder.parent)
        if file != source:
            yield {
                "name": f"{name}:file",
                "actions": [(steps.run_recipe, (source, file))],
                "file_dep": [str(source), *_modules("recipe")],
                "targets": [str(file)],
            }
        for target in steps.model_targets(name, TARGET_FOLDERS):
            yield _model(f"{name}:{target}", file, folder / target)


def _model(name: str, file: Path, folder: Path, **options: Any) -> dict[str, Any]:
    """The task that compiles a model file into a folder named after the target."""
    target = folder.name
    library = TARGET_FOLDERS[target]
    runtime = [library / "runtime" / f"{s.stem}.o" for s in RUNTIME]
    settings = steps.compile_settings(target, None) | options
    return {
        "name": name,
        "actions": [(steps.compile_model, (file, target, folder, runtime), options)],
        "file_dep": [
            *(str(file), *map(str, runtime), *LOWERING),
            *map(str, sorted(TOOLCHAIN.glob("model/**/*.py"))),
            *map(str, sorted(TOOLCHAIN.glob("frontends/*.py"))),
            *map(str, PROFILE.operators.values()),
        ],
        "targets": [str(folder / f"{file.stem}.wasm")],
        "uptodate": [config_changed(settings)],
    }


def task_bench_models() -> Any:
    """Compile the models that `doit bench models` measures, weights beside them."""
    models, sources = PROFILE.folder / "models", MODELS[False] | MODELS[True]
    yield {"name": None, "doc": task_bench_models.__doc__}
    for row in (r for r in rows.ROWS if r.model in sources):
        folder = row.folder(models)
        file = steps.model_file(sources[row.model], models)
        for target in filter(TARGET_FOLDERS.__contains__, rows.BUILT):
            name = f"{row.model}:{folder.name}:{target}"
            yield _model(name, file, folder / target, external=True, **row.options)


def task_coverage() -> Any:
    """Run ONNX's node test cases as models; write docs/models.md."""
    target, library = next(iter(TARGET_FOLDERS.items()))
    return {
        "actions": [(steps.run_node_cases, (target, library / "runtime"))],
        "task_dep": ["runtime"],
        "uptodate": [False],
    }


def task_mutants() -> Any:
    """Change the runtime in one place after the other; its tests must fail."""
    count = ("count", "c", int, 100, "how many changes (0: all of them)")
    seed = ("seed", "s", int, 1, "which ones")
    only = ("only", "o", str, "*.c", "files of the runtime, such as memory.c")
    return {
        "actions": [(steps.run_mutants,)],
        "params": [_param(*option) for option in (count, seed, only)],
        "task_dep": ["build"],
        "uptodate": [False],
    }


def task_build() -> Any:
    """Build the library for every target (profile=FILE.toml: a part of it)."""
    return {
        "actions": [(steps.check_operators, (list(TARGET_FOLDERS.values()), NAMES))],
        "params": [
            {
                "name": "workers",
                "short": "n",
                "type": int,
                "default": 0,
                "help": "how many tasks run at a time (default: one per core)",
            }
        ],
        "task_dep": ["module"] if get_var("profile") else ["module", "models"],
        "clean": [(steps.clean, (PROFILE.folder,))],
    }


def task_package() -> Any:
    """Make the SDK archive and the Python wheel in dist/."""
    if profile := get_var("profile"):
        return {"actions": [(steps.refuse_packages, (profile,))]}
    return {
        "actions": [(steps.make_packages, (TARGET_FOLDERS, DIST))],
        "file_dep": [
            *(str(f / a) for f in TARGET_FOLDERS.values() for a in package.ARTIFACTS),
            *map(str, package.SOURCES),
            *_modules("package"),
        ],
        "targets": [str(path) for path in package.package_paths(DIST)],
        "task_dep": ["build"],
        "uptodate": [config_changed(os.environ.get("SOURCE_DATE_EPOCH", ""))],
        "clean": True,
    }


def task_test() -> Any:
    """Verify the built library in wasmtime (-o NAME: one operator)."""
    return {
        "actions": [(steps.run_tests, (), {"profile": get_var("profile")})],
        "params": [
            {
                "name": "operator",
                "short": "o",
                "long": "operator",
                "default": "",
                "help": "verify this operator alone",
            }
        ],
        "task_dep": ["build"],
        "uptodate": [False],
    }


def task_matrix() -> Any:
    """Write the table of operators and dtypes into the README."""
    return {"actions": [(steps.update_matrix,)], "uptodate": [False]}


def task_bench() -> Any:
    """Measure speed beside the peers (names: a part; models [names]: whole models)."""
    return {
        "actions": [(steps.run_bench, (), {"build": PROFILE.folder})],
        "pos_arg": "words",
        "task_dep": ["build", *steps.bench_tasks(sys.argv, rows.MODELS)],
        "uptodate": [False],
    }


def task_bench_table() -> Any:
    """Write the last measurement of all rows into the README."""
    return {"actions": [(steps.update_speed,)], "uptodate": [False]}
