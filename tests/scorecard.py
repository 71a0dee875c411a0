"""The scorecard: sizes of functions and files, and facts that stand in one place.

`doit scorecard` prints it; tests/scorecard.toml has the limits, and the exceptions with
their reasons. A place that exceeds a limit without an exception fails, and so does an
exception that nothing needs any more. tests/test_scorecard.py holds all rows but the
commands of the documents, which are tests themselves.

Lines of a function go from its `def` to its end, without its docstring. Files are those
that git lists.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolchain.dtypes import NAMES
from toolchain.link.artifacts import TABLES
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

LIMITS = Path(__file__).with_suffix(".toml")
CLANG_FORMAT = Path(sys.executable).with_name("clang-format")


@dataclass(frozen=True)
class Found:
    """A place with a number: lines of a function or file, or 1 for a fault."""

    where: str
    number: int = 1


Measure = Callable[[], list[Found]]


@dataclass(frozen=True)
class Row:
    """A measure beside its limits.

    limits: the most of (median, 90th percentile, maximum), or of the maximum or the
    sum alone. exceptions: reasons by place; they excuse a place from the maximum, and
    what lies in a folder, "toolchain/model/", from all figures.
    """

    name: str
    found: list[Found]
    limits: tuple[int, ...]
    exceptions: dict[str, str]

    @property
    def figures(self) -> tuple[int, ...]:
        """What the limits limit."""
        folders = tuple(p for p in self.exceptions if p.endswith("/"))
        counted = (f for f in self.found if not f.where.startswith(folders))
        numbers = sorted(f.number for f in counted)
        if len(self.limits) == 1:
            return (sum(numbers),)
        if not numbers:
            return (0, 0, 0)
        p90 = numbers[int(0.9 * (len(numbers) - 1))]
        return int(statistics.median(numbers)), p90, numbers[-1]

    @property
    def over(self) -> list[Found]:
        """Places beyond the maximum that no exception excuses."""
        most = self.limits[-1] if len(self.limits) > 1 else 0
        beyond = [f for f in self.found if f.number > most]
        if len(self.limits) == 1 and sum(f.number for f in beyond) <= self.limits[0]:
            return []
        return [f for f in beyond if not self._reason(f)]

    @property
    def unneeded(self) -> list[str]:
        """Exceptions that excuse nothing."""
        most = self.limits[-1] if len(self.limits) > 1 else 0
        needed = {self._reason(f) for f in self.found if f.number > most}
        return sorted(set(self.exceptions) - needed)

    def _reason(self, found: Found) -> str:
        """The exception that excuses a place; empty where none does."""
        for place in self.exceptions:
            if found.where == place or (
                place.endswith("/") and found.where.startswith(place)
            ):
                return place
        return ""

    @property
    def passed(self) -> bool:
        """Whether every figure keeps its limit, exceptions aside."""
        figures = zip(self.figures[:-1], self.limits[:-1], strict=True)
        return (
            not self.over
            and not self.unneeded
            and all(figure <= limit for figure, limit in figures)
        )


@cache
def files(*endings: str) -> list[Path]:
    """The project's files with one of the endings."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = (ROOT / name for name in listed.stdout.splitlines())
    return [p for p in names if p.name.endswith(endings) and p.exists()]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    """A Python file's syntax."""
    return ast.parse(path.read_text())


def functions() -> list[Found]:
    """Lines of Python's functions."""
    return [
        Found(f"{_name(path)}:{node.name}", lines(node))
        for path in files(".py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    assert node.end_lineno is not None
    count = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return count
    text = node.body[0]
    assert text.end_lineno is not None
    return count - (text.end_lineno - text.lineno + 1)


def file_lines() -> list[Found]:
    """Lines of the sources in Python, C and JavaScript, without the tests."""
    found = files(".py", ".c", ".h", ".mjs")
    return [f for f in map(_lines_of, found) if not f.where.startswith("tests/")]


def test_file_lines() -> list[Found]:
    """Lines of the tests' files."""
    return [f for f in map(_lines_of, files(".py")) if f.where.startswith("tests/")]


def _lines_of(path: Path) -> Found:
    return Found(_name(path), len(path.read_text().splitlines()))


_C_FUNCTION = re.compile(r"^[a-z][^;{}#]*?\b(\w+)\([^;{}]*\)\s*\{\n", re.M)


def c_functions() -> list[Found]:
    """Lines of C's functions: from the line of the name to the closing brace."""
    found = []
    for path in files(".c", ".h"):
        text = path.read_text()
        for match in _C_FUNCTION.finditer(text):
            end = text.index("\n}", match.end() - 1)
            count = text.count("\n", match.start(), end) + 2
            found.append(Found(f"{_name(path)}:{match[1]}", count))
    return found


def c_format() -> list[Found]:
    """C files that clang-format would change (80 columns, two spaces)."""
    found = []
    for path in files(".c", ".h"):
        words = [str(CLANG_FORMAT), "--dry-run", "--Werror", str(path)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            found.append(Found(_name(path)))
    return found


def modules() -> dict[str, Path]:
    """Python modules of the project by their dotted names."""
    named = {}
    for path in files(".py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:2] == ("embed", "python"):
            parts = parts[2:]
        elif parts[0] == "tests":
            parts = parts[1:]
        named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Modules of the project that a file imports, with the name out of it, or ""."""
    known = modules()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in known:
                    yield f"{node.module}.{alias.name}", ""
                elif node.module in known:
                    yield node.module, alias.name


def cycles() -> list[Found]:
    """Modules that import each other, imports inside functions counted."""
    graph = {m: sorted({n for n, _ in imports(p)}) for m, p in modules().items()}
    return [Found(" > ".join(part)) for part in components(graph) if len(part) > 1]


def components(graph: dict[str, list[str]]) -> list[list[str]]:
    """Strongly connected parts of a graph (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            found.append(sorted(stack[cut:]))
            del stack[cut:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def private_names() -> list[Found]:
    """Private names that a module takes out of another."""
    return [
        Found(f"{_name(path)}: {name} of {module}")
        for path in files(".py")
        for module, name in imports(path)
        if name.startswith("_")
    ]


def unknown_types() -> list[Found]:
    """Annotations that say Any, by file."""
    found = []
    for path in files(".py"):
        names = (n for n in ast.walk(tree(path)) if isinstance(n, ast.Name))
        if count := sum(n.id == "Any" for n in names):
            found.append(Found(_name(path), count))
    return found


def _strings(node: ast.AST) -> set[str]:
    """Texts that a collection lists by itself."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.Dict):
        parts = [k for k in node.keys if k is not None]
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        parts = node.elts
    return {p.value for p in parts if isinstance(p, ast.Constant)}  # type: ignore[misc]


def _lists_of(names: set[str], least: int, home: str) -> list[Found]:
    """Collections that list so many of the names, outside their home and its copies."""
    return [
        Found(_name(path))
        for path in files(".py")
        if _name(path) not in (home, *TABLES)
        and path.parts[-2] not in ("tests", "kernels")
        for node in ast.walk(tree(path))
        if len(_strings(node) & names) >= least
    ]


def target_lists() -> list[Found]:
    """Lists of targets beside the table of targets."""
    return _lists_of(set(TARGETS), 2, "toolchain/targets.py")


def dtype_lists() -> list[Found]:
    """Lists of dtypes beside the table of dtypes."""
    return _lists_of(set(NAMES), 5, "toolchain/dtypes.py")


def dodo() -> list[Found]:
    """Lines of dodo.py."""
    return [Found("dodo.py", len((ROOT / "dodo.py").read_text().splitlines()))]


def readme() -> list[Found]:
    """Lines of the README."""
    return [Found("README.md", len((ROOT / "README.md").read_text().splitlines()))]


MEASURES: dict[str, Measure] = {
    "functions": functions,
    "files": file_lines,
    "test files": test_file_lines,
    "C functions": c_functions,
    "C format": c_format,
    "dodo.py": dodo,
    "import cycles": cycles,
    "private names": private_names,
    "target lists": target_lists,
    "dtype lists": dtype_lists,
    "Any": unknown_types,
    "README": readme,
}


def commands() -> list[Found]:
    """Tests of the documents' commands and snippets that fail."""
    words = [sys.executable, "-m", "pytest", "-q", "-rfE", "tests/test_documents.py"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    if done.returncode and not failed:
        failed = [done.stdout.strip().rpartition("\n")[2]]
    return [Found(name) for name in failed]


def row(name: str, measure: Measure) -> Row:
    """A measure with its limits. Errors: KeyError where it has none."""
    table = tomllib.loads(LIMITS.read_text())
    exceptions = table.get("exceptions", {}).get(name, {})
    return Row(name, measure(), tuple(table["limits"][name]), exceptions)


_SHOWN = 20  # places of a row that are printed


def text(row: Row) -> str:
    """A row's line, and one for each place that fails."""
    figures = "/".join(map(str, row.figures))
    limits = "/".join(map(str, row.limits))
    excused = f", {len(row.exceptions)} excused" if row.exceptions else ""
    verdict = "ok" if row.passed else "FAILS"
    head = f"{row.name:14} {figures:>12} of {limits:<12} {verdict}{excused}"
    over = sorted(row.over, key=lambda found: -found.number)
    shown = [f"  {f.number:5} {f.where}" for f in over[:_SHOWN]]
    more = [f"        and {len(over) - _SHOWN} more"] if len(over) > _SHOWN else []
    unneeded = [f"  needs no exception: {place}" for place in row.unneeded]
    return "\n".join([head, *shown, *more, *unneeded])


def main() -> int:
    """Print the scorecard; 1 where a row fails."""
    passed = True
    for name, measure in (MEASURES | {"commands": commands}).items():
        found = row(name, measure)
        print(text(found), flush=True)
        passed &= found.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
