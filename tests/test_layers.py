"""Nothing flows back: who may import what, row by row of ARCHITECTURE.md's table."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain.profile import ROOT

KERNELS = sorted(
    path
    for folder in ("kernels", "toolchain/model/operators", "toolchain/graph/operators")
    for path in (ROOT / folder).glob("[!_]*.py")
)
TOOLCHAIN = sorted((ROOT / "toolchain").rglob("*.py"))
# The codegen step; the vocabulary (spec/) builds expressions for it, and loads TVM
# only when one is built.
MAY_IMPORT_TVM = {
    *("lower/te.py", "lower/proofs.py", "lower/expressions.py", "codegen/child.py"),
    *("codegen/cached.py", "graph/chains.py"),
}
# The vocabulary, and what reads and rewrites models, which are Relax at first.
FOLDERS_OF_TVM = ("spec/", "frontends/", "model/")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""}
    return found


def rows() -> dict[str, list[str]]:
    """Of each folder of the table the names of what it knows of."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = re.findall(r"^\| `([\w./]+)` \|.*\|([^|]*)\|$", text, re.M)
    return {folder: re.findall(r"`([\w./]+)`", cell) for folder, cell in table}


ROWS = rows()
EVERYTHING = ("tests/",)  # knows all
# What the folders are called that Python, C and JavaScript know by other names.
PACKAGES = {"ops_wasm32": "embed"}


def sources(folder: str) -> list[Path]:
    """Files of a row that import or include, without files of rows within it."""
    kinds = (".py", ".c", ".h", ".mjs", ".js", ".rs")
    top = ROOT / folder
    found = [top] if top.is_file() else top.rglob("*")
    return [
        p
        for p in found
        if p.suffix in kinds
        and "node_modules" not in p.parts
        and home(str(p.relative_to(ROOT))) == folder
    ]


def home(path: str) -> str:
    """The row that a path belongs to: the longest that it begins with."""
    return max((r for r in ROWS if f"{path}/".startswith(r)), key=len, default=path)


def known(path: Path) -> Iterator[str]:
    """What a source of ours imports or includes: rows, and headers of elsewhere."""
    text = path.read_text()
    if path.suffix == ".py":
        folders = {name.split("/")[0] for name in ROWS} | {"dodo", *PACKAGES}
        for name in imports(path):
            first, *rest = name.split(".")
            if first in folders:
                yield home("/".join([PACKAGES.get(first, first), *rest]))
    elif path.suffix in (".c", ".h"):
        own = str(path.parent.relative_to(ROOT))
        for name in re.findall(r'^ *# *include "([^"\n]+)"', text, re.M):
            yield home(own) if (path.parent / name).exists() else name
        yield from re.findall(r"^ *# *include <(ops_[^>]+)>", text, re.M)
    else:
        relative = re.findall(r"""(?:from|import\(?|require\() *["'](\.[^"']+)""", text)
        for name in relative:
            yield home(str((path.parent / name).resolve().relative_to(ROOT)))


@pytest.mark.parametrize("folder", [f for f in ROWS if f not in EVERYTHING])
def test_a_folder_knows_what_its_row_names(folder: str) -> None:
    used: set[str] = set()
    for path in sources(folder):
        for name in set(known(path)) - {folder}:
            assert name in ROWS[folder], f"{path.relative_to(ROOT)} knows {name}"
            used.add(name)
    assert set(ROWS[folder]) == used  # a row names nothing else


def test_nothing_flows_back() -> None:
    """Rooms of toolchain/ know only rooms that stand above them."""
    rooms = [
        row for row in ROWS if row.startswith("toolchain/") and row != "toolchain/"
    ]
    for i, room in enumerate(rooms):
        seen = {w for w in ROWS[room] if w.startswith("toolchain/")} - {"toolchain/"}
        assert seen <= set(rooms[:i]), room


def test_every_room_has_a_row() -> None:
    found = (ROOT / "toolchain").glob("*/__init__.py")
    assert {f"toolchain/{p.parent.name}/" for p in found} <= ROWS.keys()


def test_the_table_has_every_folder() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no clone: git lists no files")
    folders = {
        f"{name.split('/')[0]}/" for name in listed.stdout.split() if "/" in name
    }
    assert folders - {".ci/", "docs/"} <= ROWS.keys()


def test_operators_of_models_know_the_vocabulary_alone() -> None:
    """Operators of models are in toolchain/, in files like the files of kernels/."""
    for path in KERNELS:
        ours = {n for n in imports(path) if n.split(".")[0] in ("toolchain", "kernels")}
        assert {n for n in ours if n.split(".")[:2] != ["toolchain", "spec"]} == set()
        assert "tvm" not in {n.split(".")[0] for n in imports(path)}


@pytest.mark.parametrize(
    "path", TOOLCHAIN, ids=lambda p: str(p.relative_to(ROOT / "toolchain"))
)
def test_only_codegen_imports_tvm(path: Path) -> None:
    name = str(path.relative_to(ROOT / "toolchain"))
    uses = any(n.split(".")[0] == "tvm" for n in imports(path))
    assert not uses or name in MAY_IMPORT_TVM or name.startswith(FOLDERS_OF_TVM)


# Tables that all of the pipeline reads.
TABLES = {
    *("toolchain.abi", "toolchain.dtypes", "toolchain.layout", "toolchain.targets"),
}


def test_the_vocabulary_imports_nothing_of_the_pipeline() -> None:
    for path in (ROOT / "toolchain" / "spec").rglob("*.py"):
        ours = {n for n in imports(path) if n.startswith("toolchain")}
        assert {n for n in ours if not n.startswith("toolchain.spec")} <= TABLES


def test_listing_operators_loads_no_tvm() -> None:
    code = (
        "import sys; from toolchain.codegen.operators import load_operator; "
        "from toolchain.profile import full_profile; "
        "[load_operator(p) for p in full_profile().operators.values()]; "
        "assert 'tvm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
