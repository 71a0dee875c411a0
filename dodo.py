"""doit's tasks and their order. What they do stands in toolchain/tasks/."""

import sys
from collections.abc import Iterator

from doit import get_var

from bench.whole import rows
from toolchain.process import command_line
from toolchain.process.workers import prepare, workers
from toolchain.profile import profile_or_exit
from toolchain.tasks import (
    checks,
    documents,
    library,
    model_files,
    models,
    packages,
)
from toolchain.tasks.making import Task, command
from toolchain.tasks.running import configuration

command_line.require()
PROFILE = profile_or_exit(get_var("profile"))
prepare()
DOIT_CONFIG = configuration(PROFILE, workers(sys.argv))


def task_tables() -> Iterator[Task]:
    """Write what C, JavaScript and the host package have of tables; check C's."""
    return library.tables_tasks(PROFILE)


def task_compile() -> Iterator[Task]:
    """Compile each operator for each target into one wasm32 object."""
    return library.compile_tasks(PROFILE)


def task_runtime() -> Iterator[Task]:
    """Compile the C runtime for each target."""
    return library.runtime_tasks(PROFILE)


def task_archive() -> Iterator[Task]:
    """Collect objects, operator table and runtime into libops_wasm32.a."""
    return library.archive_tasks(PROFILE)


def task_module() -> Iterator[Task]:
    """Link each archive into a standalone module; write its manifest and headers."""
    return library.module_tasks(PROFILE)


def task_model() -> Task:
    """Compile a model file: doit model --file net.onnx (see doit help model)."""
    return model_files.file_task(after=["runtime"])


def task_trace() -> Task:
    """Draw where a model's time and memory go: doit trace --file net.onnx."""
    return model_files.trace_task(after=["runtime"])


def task_models() -> Iterator[Task]:
    """Compile the models of models/ that are small enough for every build."""
    return models.model_tasks(PROFILE, heavy=False)


def task_heavy_models() -> Iterator[Task]:
    """Compile the large models of models/ and of the onnx package."""
    return models.model_tasks(PROFILE, heavy=True)


def task_bench_models() -> Iterator[Task]:
    """Compile the models that `doit bench models` measures, weights beside them."""
    yield from models.bench_tasks(PROFILE, rows.ROWS, rows.BUILT)
    yield from models.open_bench_tasks(PROFILE, rows.OPEN_ROWS, rows.BUILT)


def task_fuzz() -> Task:
    """Try random calls, values, model files, killed builds: doit help fuzz."""
    return checks.fuzz_task(PROFILE, after=["module"])


def task_coverage() -> Task:
    """Run ONNX's node test cases as models; write docs/onnx.md."""
    return checks.coverage_task(PROFILE, after=["runtime"])


def task_one_node() -> Task:
    """Run the library's cases as models of one node each, and compare the bits."""
    return checks.one_node_task(PROFILE, after=["module", "runtime"])


def task_mutants() -> Task:
    """Change the runtime in one place after the other; its tests must fail."""
    return checks.mutants_task(after=["build"])


def task_scorecard() -> Task:
    """Print sizes of functions and files, cycles, and facts that stand twice."""
    return command(checks.run_scorecard, after=["build"])


def task_build() -> Task:
    """Build the library for every target (profile=FILE.toml: a part of it)."""
    return library.build_task(PROFILE, after=["module"], full=["models"])


def task_package() -> Task:
    """Make the SDK archive, the Python wheel and the npm package in dist/."""
    return packages.package_task(PROFILE, after=["build"])


def task_users() -> Task:
    """Use the packages as their users do, from nothing (registries, npm)."""
    return checks.users_task(after=["package"])


def task_test() -> Task:
    """Verify the built library in wasmtime (-o NAME: one operator)."""
    return checks.test_task(PROFILE, after=["build"])


def task_old_cpu() -> Task:
    """Run what depends on the processor on an emulated one without VNNI (qemu)."""
    return command(checks.run_on_old_cpu, after=["build"])


def task_matrix() -> Task:
    """Write docs/operators.md and the lists of what models may hold."""
    return command(documents.update_matrix)


def task_bench() -> Task:
    """Measure speed beside the peers (names: a part; models [names]: whole models)."""
    measured = documents.bench_models(sys.argv, rows.MODELS)
    return documents.bench_task(PROFILE, after=["build", *measured])


def task_bench_table() -> Task:
    """Write the last measurement of all rows into docs/speed.md, and its picture."""
    return command(documents.update_speed)


def task_bench_sizes() -> Task:
    """Write how many bytes the peers load into docs/speed.md (npm and a network)."""
    return command(documents.update_sizes)
