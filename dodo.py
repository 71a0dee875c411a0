"""doit's tasks and their order. What they do stands in toolchain/steps.py."""

import os
import sys
from pathlib import Path
from typing import Any

from doit import get_var

from bench.whole import rows
from toolchain import steps
from toolchain.link import package
from toolchain.process import command_line
from toolchain.process.progress import ProgressReporter
from toolchain.profile import ROOT
from toolchain.records.made import Made
from toolchain.records.slices import root_in, root_of
from toolchain.targets import TARGETS

command_line.keep_values()
PROFILE = steps.profile_or_exit(get_var("profile"))
TARGET_FOLDERS = {t: PROFILE.folder / t for t in PROFILE.targets}
RUNTIME = sorted((ROOT / "runtime_stub").glob("*.c"))
NAMES = sorted(PROFILE.operators)
MODELS = {h: steps.model_sources(ROOT / "models", heavy=h) for h in (False, True)}
DIST = ROOT / "dist"
# Tasks that only read what is built: while they run, others may build.
READS: dict[str, Any] = {"uptodate": [False], "meta": {"reads": True}}

steps.prepare()
DOIT_CONFIG = {
    "default_tasks": ["build"],
    # No record of doit's own: outputs say what they were made from.
    "dep_file": ":memory:",
    "backend": "sqlite3",
    "reporter": ProgressReporter.of(PROFILE.folder),
    "num_process": steps.workers(sys.argv),
    "continue": True,
    "verbosity": 2,
}


def _task(name: str | None, made: Made, *step: Any, after: Any = ()) -> dict[str, Any]:
    """The task that makes outputs by a step: a function and its arguments."""
    return {
        **({"name": name} if name else {}),
        "actions": [(steps.make, (made, *step))],
        "targets": [str(path) for path in made.outputs],
        "uptodate": [made.current],
        "task_dep": list(after),
    }


def task_compile() -> Any:
    """Compile each operator for each target into one wasm32 object."""
    for target, folder in TARGET_FOLDERS.items():
        for name in NAMES:
            path, dtypes = PROFILE.operators[name], PROFILE.dtypes[name]
            out = folder / "obj" / name
            code = (root_in(path, "KERNEL"), root_in(path, "__doc__"))  # its formula
            made = Made(
                (out.with_suffix(".o"), out.with_suffix(".json")),
                ("toolchain.codegen.objects:compile_object", *code),
                (path.with_suffix(".c"),),
                [steps.settings(target, "CLANG"), dtypes],
            )
            step = (path, target, dtypes, out, PROFILE.compile_timeout)
            yield _task(f"{target}:{name}", made, steps.compile_operator, *step)


def task_runtime() -> Any:
    """Compile the C runtime for each target."""
    for target, folder in TARGET_FOLDERS.items():
        for source in RUNTIME:
            out = folder / "runtime" / f"{source.stem}.o"
            made = Made(
                (out,),
                (root_of(steps.compile_runtime),),
                (source,),
                steps.settings(target, "CLANG"),
            )
            step = (steps.compile_runtime, source, target, out)
            yield _task(f"{target}:{source.stem}", made, *step)


def _runtime(target: str) -> list[Path]:
    folder = TARGET_FOLDERS[target] / "runtime"
    return [folder / f"{source.stem}.o" for source in RUNTIME]


def _runtime_tasks(target: str) -> list[str]:
    # By name: doit compares a wildcard with every task.
    return [f"runtime:{target}:{source.stem}" for source in RUNTIME]


def task_archive() -> Any:
    """Collect objects, operator table and runtime into libops_wasm32.a."""
    for target, folder in TARGET_FOLDERS.items():
        objects = [folder / "obj" / f"{n}{s}" for n in NAMES for s in (".o", ".json")]
        made = Made(
            (folder / "libops_wasm32.a",),
            (root_of(steps.make_archive),),
            (*objects, *_runtime(target)),
            steps.settings(target, "LLVM_AR"),
        )
        step = (steps.make_archive, folder, NAMES, _runtime(target))
        after = [*(f"compile:{target}:{n}" for n in NAMES), *_runtime_tasks(target)]
        yield _task(target, made, *step, after=after)


def task_module() -> Any:
    """Link each archive into a standalone module; write its manifest and headers."""
    for target, folder in TARGET_FOLDERS.items():
        made = Made(
            tuple(folder / name for name in package.ARTIFACTS[1:]),
            (root_of(steps.make_module),),
            (
                folder / "libops_wasm32.a",
                *(folder / "obj" / f"{n}.json" for n in NAMES),
                ROOT / "runtime_stub" / "ops_wasm32.h",
                ROOT / "runtime_stub" / "expected" / f"{target}.txt",
            ),
            [steps.settings(target, "WASM_LD"), PROFILE.max_memory],
        )
        step = (steps.make_module, folder, NAMES, PROFILE.max_memory)
        yield _task(target, made, *step, after=[f"archive:{target}"])


def task_model() -> Any:
    """Compile a model file: doit model --file net.onnx (see doit help model)."""
    weights = ("weights", "w", str, "embedded", "embedded, or external: a file beside")
    archive = ("archive", "", bool, False, "write lib<name>.a too, for C programs")
    return {
        "actions": [(steps.compile_model_file,)],
        "params": [_param(*option) for option in (*MODEL_OPTIONS, weights, archive)],
        "task_dep": ["runtime"],
        **READS,
    }


MODEL_OPTIONS: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("file", "f", str, "", "the model: .onnx or .mindir"),
    ("target", "t", str, "simd128", f"one of {', '.join(TARGETS)}"),
    ("out", "o", str, "", "folder for the files (build/models/<name>/<target>)"),
    ("shape", "s", list, [], "an input's shape, as in image=1,3,224,224"),
    ("dim", "", list, [], "the size that the file calls by a name, as in batch=1"),
    ("value", "", list, [], "an input that becomes a constant, as in rate=16000"),
    ("timeout", "", float, 600.0, "seconds for reading the model"),
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
        **READS,
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
            code = (root_of(steps.run_recipe),)
            made = Made((file,), code, (source,), steps.settings(None, models=True))
            yield _task(f"{name}:file", made, steps.run_recipe, source, file)
        for target in steps.model_targets(name, TARGET_FOLDERS):
            yield _model(f"{name}:{target}", name, folder / target)


def _model(task: str, name: str, folder: Path, **options: Any) -> dict[str, Any]:
    """The task that compiles a model of models/ into a folder named after a target."""
    target, heavy = folder.name, name in MODELS[True]
    source = MODELS[heavy][name]
    file = steps.model_file(source, PROFILE.folder / "models")
    after = _runtime_tasks(target)
    if file != source:
        after.append(f"{'heavy_models' if heavy else 'models'}:{name}:file")
    made = Made(
        steps.model_outputs(file, folder, options),
        steps.model_code(),
        (file, *_runtime(target)),
        [steps.settings(target, "CLANG", "LLVM_AR", "WASM_LD", models=True), options],
    )
    step = (steps.compile_model, file, target, folder, _runtime(target), options)
    return _task(task, made, *step, after=after)


def task_bench_models() -> Any:
    """Compile the models that `doit bench models` measures, weights beside them."""
    models, sources = PROFILE.folder / "models", MODELS[False] | MODELS[True]
    yield {"name": None, "doc": task_bench_models.__doc__}
    for row in (r for r in rows.ROWS if r.model in sources):
        folder = row.folder(models)
        for target in filter(TARGET_FOLDERS.__contains__, rows.BUILT):
            options = {"external": True, **row.options}
            name = f"{row.model}:{folder.name}:{target}"
            yield _model(name, row.model, folder / target, **options)


def task_fuzz() -> Any:
    """Try random calls, values, model files, killed builds: doit help fuzz."""
    kinds = "arguments, calls, values, allocator, files or kills; all where left out"
    return {
        "actions": [(steps.run_fuzz, (), {"build": PROFILE.folder})],
        "params": [
            _param("kind", "k", str, "", kinds),
            _param("seed", "", int, 1, "of the first case, which it names"),
            _param("count", "c", int, 0, "cases of a kind; 0: about a minute of them"),
        ],
        "task_dep": ["module"],
        **READS,
    }


def task_coverage() -> Any:
    """Run ONNX's node test cases as models; write docs/onnx.md."""
    target, library = next(iter(TARGET_FOLDERS.items()))
    return {
        "actions": [(steps.run_node_cases, (target, library / "runtime"))],
        "task_dep": ["runtime"],
        **READS,
    }


def task_one_node() -> Any:
    """Run the library's cases as models of one node each, and compare the bits."""
    return {
        "actions": [(steps.run_one_node, (PROFILE.folder,))],
        "task_dep": ["module", "runtime"],
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
    made = Made(
        package.package_paths(DIST),
        (root_of(steps.make_packages),),
        (
            *(f / a for f in TARGET_FOLDERS.values() for a in package.ARTIFACTS),
            *package.SOURCES,
        ),
        os.environ.get("SOURCE_DATE_EPOCH", ""),
    )
    step = (steps.make_packages, TARGET_FOLDERS, DIST)
    return _task(None, made, *step, after=["build"]) | {"clean": True}


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
        **READS,
    }


def task_old_cpu() -> Any:
    """Run what depends on the processor on an emulated one without VNNI (qemu)."""
    return {
        "actions": [(steps.run_on_old_cpu,)],
        "task_dep": ["build"],
        "uptodate": [False],
    }


def task_matrix() -> Any:
    """Write docs/operators.md and the lists of what models may hold."""
    return {"actions": [(steps.update_matrix,)], "uptodate": [False]}


def task_bench() -> Any:
    """Measure speed beside the peers (names: a part; models [names]: whole models)."""
    return {
        "actions": [(steps.run_bench, (), {"build": PROFILE.folder})],
        "pos_arg": "words",
        "task_dep": ["build", *steps.bench_tasks(sys.argv, rows.MODELS)],
        **READS,
    }


def task_bench_table() -> Any:
    """Write the last measurement of all rows into docs/speed.md, and its picture."""
    return {"actions": [(steps.update_speed,)], "uptodate": [False]}


def task_bench_sizes() -> Any:
    """Write how many bytes the peers load into docs/speed.md (npm and a network)."""
    return {"actions": [(steps.update_sizes,)], "uptodate": [False]}
