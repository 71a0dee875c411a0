"""Checks: the tests, and programs of tests/ that try more than they do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from toolchain.profile import ROOT, Profile
from toolchain.targets import DEFAULT
from toolchain.tasks.library import runtime_objects
from toolchain.tasks.making import FailedError, Task, command, option, run_python

_HOST = ROOT / "embed" / "python"  # the host package
# A processor with AVX2 and neither AVX-512 nor VNNI, as qemu names it; and tests that
# compare 8-bit products with ONNX Runtime's, which differ there.
_OLD_CPU = "Haswell-noTSX"
_OLD_CPU_TESTS = ("tests/test_onnx.py", "-k", "matmul_integer_uint8_int8")


def test_task(profile: Profile, after: Iterable[str]) -> Task:
    """Runs the tests."""
    operator = option("operator", "", "verify this operator alone", "o")
    return command(run_tests, profile, after=after, options=[operator], reads=True)


def run_tests(profile: Profile, operator: str) -> None:
    """Run all tests, or the verification of one operator or of a profile's build."""
    names = profile.operators
    if operator and operator not in names:
        raise FailedError(f"operator {operator!r} is unknown; use {', '.join(names)}")
    words = ["-m", "pytest", "-q", f"-n{os.cpu_count() or 1}"]
    if operator or profile.file:
        words += ["tests/test_operators.py", f"--operator={operator}"]
        words += [f"--profile-file={profile.file}"] if profile.file else []
    _passed(run_python(words))


def _passed(code: int) -> None:
    if code:
        raise FailedError(f"the tests failed (pytest's exit code {code})")


def run_on_old_cpu() -> None:
    """Run the tests whose references depend on the processor on an emulated one."""
    import platform
    import shutil
    import subprocess
    import sys

    emulator = shutil.which("qemu-x86_64")
    if platform.machine() not in ("x86_64", "AMD64"):
        raise FailedError("old_cpu emulates an x86-64 processor on x86-64 alone")
    if emulator is None:
        raise FailedError(
            "qemu-x86_64 is not on the path; install it (Debian: qemu-user)"
        )
    words = [emulator, "-cpu", _OLD_CPU, sys.executable, "-m", "pytest", "-q"]
    words += ["-p", "no:cacheprovider", *_OLD_CPU_TESTS]
    # qemu warns of features that it leaves out, once for each process.
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    _passed(done.returncode)


def fuzz_task(profile: Profile, after: Iterable[str]) -> Task:
    """Tries random cases."""
    kinds = "arguments, calls, values, allocator, files, models or kills"
    options = [
        option("kind", "", kinds, "k"),
        option("seed", 1, "of the first case, which it names"),
        option("count", 0, "cases of a kind; 0: about a minute of them", "c"),
    ]
    return command(run_fuzz, profile, after=after, options=options, reads=True)


def run_fuzz(profile: Profile, kind: str, seed: int, count: int) -> None:
    """Try random cases of what must hold for any input (tests/fuzz)."""
    words = ["-m", "fuzz", "--build", str(profile.folder)]
    words += ["--seed", str(seed), "--count", str(count)]
    words += ["--kind", kind] if kind else []
    if code := run_python(words, [ROOT, ROOT / "tests", _HOST]):
        failed = "cases failed" if code == 1 else "no case was tried"
        raise FailedError(f"{failed}; see above")


def coverage_task(profile: Profile, after: Iterable[str]) -> Task:
    """Runs ONNX's cases for the profile's first target."""
    target = profile.targets[0]
    runtime = runtime_objects(profile.folders[target])[0].parent
    return command(run_node_cases, target, runtime, after=after, reads=True)


def run_node_cases(target: str, runtime: Path) -> None:
    """Run ONNX's node test cases; write which operators of models are supported."""
    words = ["tests/node_cases.py", "--target", target, "--runtime", str(runtime)]
    if run_python(words, [ROOT, _HOST]):
        raise FailedError("the cases did not run")


def one_node_task(profile: Profile, after: Iterable[str]) -> Task:
    """Holds models of one node against the library."""
    options = [
        option("operator", "", "only cases of this operator", "o"),
        option("target", DEFAULT, "the target of library and models", "t"),
        option("path", "static", "of models: static, known or open", "p"),
    ]
    return command(run_one_node, profile, after=after, options=options)


def run_one_node(profile: Profile, operator: str, target: str, path: str) -> None:
    """Run the library's cases as models of one node each; all where none is named."""
    words = ["tests/one_node.py", "--build", str(profile.folder), "--target", target]
    words += ["--path", path, *filter(None, [operator])]
    if run_python(words, [ROOT, _HOST]):
        raise FailedError("models differ from the library; see above")


def users_task(after: Iterable[str]) -> Task:
    """Tries the packages as their users do."""
    options = [option("user", "", "this user alone; all where left out", "u")]
    return command(run_users, after=after, options=options, reads=True)


def run_users(user: str) -> None:
    """Start from the packages alone, in each language; each must answer rightly."""
    scripts = sorted((ROOT / "tests" / "users").glob("python_*.py"))
    chosen = [path for path in scripts if user in ("", path.stem)]
    codes = [run_python([str(path)]) for path in chosen]
    if user not in [path.stem for path in scripts]:
        words = ["-m", "users", *filter(None, [user])]
        codes.append(run_python(words, [ROOT, ROOT / "tests"]))
    if code := max(codes):
        missing = "not every user could be tried" if code == 3 else ""
        raise FailedError(f"{missing or 'a user has no right answer'}; see above")


def run_scorecard() -> None:
    """Print sizes, cycles and facts that stand twice, beside their limits."""
    if run_python(["tests/scorecard.py"], [ROOT, ROOT / "tests", _HOST]):
        raise FailedError("the scorecard has rows that fail; see above")


def mutants_task(after: Iterable[str]) -> Task:
    """Tests the runtime's tests."""
    options = [
        option("count", 100, "how many changes (0: all of them)", "c"),
        option("seed", 1, "which ones", "s"),
        option("only", "*.c", "files of the runtime, such as memory.c", "o"),
    ]
    return command(run_mutants, after=after, options=options)


def run_mutants(count: int, seed: int, only: str) -> None:
    """Change the runtime in one place after the other; the tests must notice."""
    words = ["tests/mutants.py", f"--count={count}", f"--seed={seed}"]
    if run_python([*words, f"--only={only}"]):
        raise FailedError("too many mutants survive")
