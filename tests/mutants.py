"""Mutants of the runtime: one constant or comparison is changed, and a test must fail.

doit mutants [--count=100] [--seed=1] [--only=memory.c], or this file with such words.

Each mutant is one C file compiled anew and linked with the objects of the build, for
the target `mvp`. The runtime is compiled with checks that trap where an array is left
(tests/linking.py, CHECKS). A child process runs the tests of the runtime on it, the
kernels' cases among them, the quick ones first; models of any shape are built with it
for files that they alone link, and last for others. Mutants that change no result are
listed in tests/mutants.txt, each with the reason; they are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mutant_places import EQUIVALENT, Mutant, mutants_of, read_equivalent

from toolchain.link.clang import RUNTIME
from toolchain.process.command import ToolError
from toolchain.profile import full_profile

TARGET = "mvp"
# Tests of the runtime, without the operators' cases; quick tests first.
TESTS = (
    *("test_errors", "test_error_texts", "test_calls", "test_texts", "test_ranks"),
    *("test_memory", "test_room", "test_shared_memory", "test_fixed_shapes"),
    *("test_bytes", "test_limits", "test_windows", "test_allocator", "test_time"),
    "test_fuzz",
)
QUICK = 5  # of them are enough for a sample
# Tests of models of any shape, and the files that such models alone link.
GRAPH_TESTS = ("test_graph_arena", "test_graph_engine", "test_open_networks")
GRAPH_FILES = re.compile(r"graph.*|collapse_graph|late")
CELLS = 500  # of the kernels' cases that a mutant meets
FIRST = 50  # of its own that it meets before the tests
ROUNDS = 300  # of random calls of an operator
LONGEST = 30  # seconds of CPU that no test takes: fuzzing takes 12
LEAST = 10  # mutants for which another process is worth its start
CLOSING = re.compile(
    r"(\d+) mutants tried: (\d+) killed, (\d+) survive, (\d+) equivalent left out, "
    r"(\d+) do not compile; .*"
)
# Not about the runtime: kinds of fuzzing, and what attributes mean to kernels. The
# names are pytest's, relative to the project's folder.
LEFT_OUT = (
    *(
        f"tests/test_fuzz.py::test_a_few_cases_hold[{k}]"
        for k in ("values", "files", "kills")
    ),
    "tests/test_time.py::test_attributes_take_no_time",
)

if TYPE_CHECKING:
    from verification import Cell

    from toolchain.spec import Operator

    OperatorCell = tuple[Operator, Cell]


class Bench:
    """A build of its own, in which one object of the runtime is a mutant's."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.tests = TESTS[:QUICK] if quick else TESTS
        self.objects = folder / TARGET / "runtime"
        self.unchanged = folder / "unchanged"
        os.environ |= {"OPS_WASM32_BUILD": str(folder), "OPS_WASM32_TARGET": TARGET}
        sys.path.insert(0, str(Path(__file__).parent))
        self.linking = importlib.import_module("linking")
        self.linking.compile_runtime_checked(folder, TARGET)
        shutil.copytree(self.objects, self.unchanged)
        for name in (*TESTS, *GRAPH_TESTS):  # once, before the forks
            importlib.import_module(name)
        counts: dict[str, int] = sys.modules["test_fuzz"].COUNTS
        counts["arguments"] = ROUNDS
        for operator in () if quick else sys.modules["test_limits"].SOURCES.items():
            self.linking.compiled(*operator, TARGET)

    @cached_property
    def cells(self) -> dict[str, list[OperatorCell]]:
        """Cases of kernels by the collapse that they go through."""
        from verification import cells

        from toolchain.codegen.operators import load_operator

        profile = full_profile()
        found: dict[str, list[OperatorCell]] = {}
        for cell in cells(profile):
            if cell.target == TARGET and cell.kernel in self.kernels:
                operator = load_operator(profile.operators[cell.operator])
                name = operator.collapse.partition(".")[0]
                name = "unary" if operator.unary else name
                found.setdefault(name, []).append((operator, cell))
        rng = random.Random(1)
        return {name: rng.sample(c, len(c)) for name, c in found.items()}

    @cached_property
    def kernels(self) -> set[str]:
        """Kernels that tests name, and some for each path to the canonical sizes."""
        from toolchain.codegen.operators import load_operator
        from toolchain.spec import kernel_name

        texts = [Path(__file__).with_name(f"{n}.py").read_text() for n in TESTS]
        named = set(re.findall(r'"(\w+)[("]', " ".join(texts)))
        named |= {call.split()[0] for call, _ in sys.modules["test_error_texts"].CASES}
        named |= {
            "_".join(call[:1] + call[1]) for call in sys.modules["test_ranks"].CALLS
        }
        chosen: set[str] = set()
        seen: list[tuple[str, bool]] = []
        for name, path in full_profile().operators.items():
            operator = load_operator(path)
            kernels = [kernel_name(name, v) for v in operator.variants()]
            seen.append((operator.collapse, operator.unary))
            if name in named:
                dtypes = ("float32", "int8", "int64")
                chosen |= {k for k in kernels if k.removeprefix(name + "_") in dtypes}
            elif seen.count(seen[-1]) <= 3:  # of its path
                chosen |= {*kernels[:2], *kernels[-1:]}
            chosen |= named & {*kernels}
        return chosen

    def build(self, mutant: Mutant | None) -> None:
        """Link the library with the mutant. Errors: ToolError, it does not compile."""
        if mutant is not None:
            source = RUNTIME / mutant.file
            text = source.read_text()
            end = mutant.at + len(mutant.before)
            changed = self.folder / mutant.file
            changed.write_text(text[: mutant.at] + mutant.after + text[end:])
            out = self.objects / f"{source.stem}.o"
            self.linking.compile_checked(changed, TARGET, out, source)
        operators = sorted(full_profile().operators)
        module = self.linking.link_built(self.folder, operators, self.kernels)
        module.replace(self.folder / TARGET / "ops_wasm32.wasm")

    def restore(self, mutant: Mutant) -> None:
        """Put the file's own object back."""
        name = Path(mutant.file).stem + ".o"
        shutil.copy(self.unchanged / name, self.objects / name)

    def check(self, file: str) -> None:
        """Run the tests, cases of the file itself first. Errors: the first failure."""
        if self.quick:
            return self._check_tests("")
        if GRAPH_FILES.fullmatch(Path(file).stem):
            return self._run_pytest(GRAPH_TESTS)
        name = Path(file).stem.removeprefix("collapse_")
        own, few = self.cells.get(name, []), CELLS // len(self.cells)
        cells = own[:CELLS] or [c for cs in self.cells.values() for c in cs[:few]]
        self._check_cells(cells[:FIRST])
        self._check_tests(name)
        self._check_cells(cells[FIRST:])
        self._run_pytest(GRAPH_TESTS)

    def _check_cells(self, cells: list[OperatorCell]) -> None:
        import ops_wasm32
        from verification import check

        Alarm().pytest_runtest_logstart()
        library = ops_wasm32.load(self.folder / TARGET / "ops_wasm32.wasm")
        for operator, cell in cells:
            inputs, attributes = cell.case.inputs, cell.case.attributes
            result = library.call(cell.kernel, *inputs, **attributes)
            results = list(result) if isinstance(result, tuple) else [result]
            check(cell, operator, [np.asarray(r) for r in results])

    def _check_tests(self, own: str) -> None:
        tests = sorted(self.tests, key=lambda name: own not in name)
        self._run_pytest(tests[:QUICK])  # most mutants end here: no need to find all
        if tests[QUICK:]:
            self._run_pytest(tests[QUICK:])

    def _run_pytest(self, tests: Sequence[str]) -> None:
        import pytest

        files = [str(Path(__file__).with_name(f"{name}.py")) for name in tests]
        plugins = ["-p", "no:cacheprovider", "-p", "no:xdist"]
        plugins += [f"--deselect={test}" for test in LEFT_OUT]
        code = pytest.main(
            ["-x", "-q", *plugins, "-k", "not simd", *files], plugins=[Alarm()]
        )
        assert code == 0, f"pytest ended with {code}"

    def passes(self, file: str) -> tuple[bool, float, str]:
        """Whether a child's tests pass; its CPU time in seconds and what it said."""
        with tempfile.TemporaryFile() as log:
            child = os.fork()
            if not child:
                _in_child(lambda: self.check(file), log.fileno())
            _, status, usage = os.wait4(child, 0)
            log.seek(0)
            said = log.read().decode(errors="replace")
        return status == 0, usage.ru_utime + usage.ru_stime, said


class Alarm:
    """Ends the process where a test takes more CPU time than LONGEST."""

    def pytest_runtest_logstart(self) -> None:
        """Start the time of a test, as pytest does for each."""
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)


def _in_child(action: Callable[[], None], log: int) -> None:
    """Never returns: exit code 0 where the action does."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    with contextlib.suppress(BaseException):
        try:
            action()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
    sys.stdout.flush()
    os._exit(code)


def main(words: list[str]) -> int:
    """Run a sample; 0 where at least 95 % of it are killed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="how many (0: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="*.c", help="files, such as memory.c")
    parser.add_argument("--part", default="", help="of several runs: 0/2 and 1/2")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="parts at once"
    )
    parser.add_argument("--text", default="", help="lines with this text")
    parser.add_argument("--quick", action="store_true", help="with the first tests")
    parser.add_argument("--verbose", action="store_true", help="how each was killed")
    options = parser.parse_args(words)
    chosen, left_out = sample(options)
    jobs = min(options.jobs, len(chosen) // LEAST)
    if jobs > 1 and not options.part:
        return report(*at_once(words, jobs))
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        bench = Bench(Path(folder), options.quick)
        bench.build(None)
        passes, seconds, said = bench.passes("all")
        if not passes:
            print(f"the tests fail without any change:\n{said[-4000:]}")
            return 2
        print(f"unchanged: {seconds:.1f} s of CPU; {len(chosen)} mutants", flush=True)
        survive, tried = survivors(bench, chosen, options.verbose)
        return report(tried, survive, left_out, len(chosen) - tried)


def at_once(words: list[str], jobs: int) -> tuple[int, ...]:
    """Run parts of it side by side, and give what `report` prints, for all."""
    parts = [
        subprocess.Popen(
            [sys.executable, __file__, *words, f"--part={i}/{jobs}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(jobs)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        tried, survive, left_out, failed = zip(*pool.map(_follow, parts), strict=True)
    return sum(tried), sum(survive), left_out[0], sum(failed)


def _follow(part: subprocess.Popen[str]) -> tuple[int, ...]:
    """Pass on what a part prints but its closing line, whose numbers are returned.

    Errors: SystemExit, the part ends without that line.
    """
    assert part.stdout
    for line in part.stdout:
        if found := CLOSING.fullmatch(line.strip()):
            tried, _, *rest = map(int, found.groups())
            return tried, *rest
        print(line, end="", flush=True)
    raise SystemExit(part.wait() or 2)


def sample(options: argparse.Namespace) -> tuple[list[Mutant], int]:
    """The mutants that the options ask for, and how many equivalent ones lack."""
    every = [m for p in sorted(RUNTIME.glob(options.only)) for m in mutants_of(p)]
    equivalent = read_equivalent(EQUIVALENT)
    if unknown := set(equivalent) - {m.key for m in every} and options.only == "*.c":
        raise SystemExit(f"{EQUIVALENT.name}: no such mutants: {unknown}")
    every = [m for m in every if options.text in m.text]
    wanted = [m for m in every if m.key not in equivalent]
    left_out = len(every) - len(wanted)
    if options.count and options.count < len(wanted):
        picked = random.Random(options.seed).sample(wanted, options.count)
        wanted = sorted(picked, key=lambda m: (m.file, m.at, m.after))
    part, parts = map(int, (options.part or "0/1").split("/"))
    return wanted[part::parts], left_out


def survivors(bench: Bench, chosen: list[Mutant], verbose: bool) -> tuple[int, int]:
    """Try each mutant and print the survivors; how many survive, and were tried."""
    survive = tried = 0
    for mutant in chosen:
        try:
            bench.build(mutant)
        except ToolError:
            bench.restore(mutant)
            continue
        tried += 1
        passes, seconds, said = bench.passes(mutant.file)
        survive += passes
        if passes:
            print(f"survives {mutant}", flush=True)
        elif verbose:
            end = said.strip()[-200:]
            print(f"killed {mutant} in {seconds:.1f} s\n    {end}", flush=True)
        bench.restore(mutant)
    return survive, tried


def report(tried: int, survive: int, left_out: int, failed: int) -> int:
    """Print the closing line; 0 where at least 95 % are killed."""
    killed = tried - survive
    share = 100 * killed / max(tried, 1)
    print(
        f"{tried} mutants tried: {killed} killed, {survive} survive, {left_out} "
        f"equivalent left out, {failed} do not compile; {share:.1f} % killed"
    )
    return 0 if share >= 95 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
