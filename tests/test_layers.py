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
    for folder in ("kernels", "toolchain/model/operators")
    for path in (ROOT / folder).glob("[!_]*.py")
)
TOOLCHAIN = sorted((ROOT / "toolchain").rglob("*.py"))
# The codegen step; the vocabulary (spec/) builds expressions for it, and loads TVM
# only when one is built.
MAY_IMPORT_TVM = {"lower/te.py", "lower/expressions.py", "codegen/child.py"}
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
PACKAGES = {"ops_wasm32": "embed/"}


def sources(folder: str) -> list[Path]:
    """Files that import or include."""
    top = ROOT / folder
    kinds = (".py", ".c", ".h", ".mjs", ".js", ".rs")
    found = [top] if top.is_file() else top.rglob("*")
    return [p for p in found if p.suffix in kinds and "node_modules" not in p.parts]


def known(path: Path) -> Iterator[str]:
    """Files and modules of ours that a source imports or includes, by their names."""
    text = path.read_text()
    if path.suffix == ".py":
        folders = {name.rstrip("/") for name in ROWS} | {"dodo", *PACKAGES}
        yield from (n for n in imports(path) if n.split(".")[0] in folders)
    elif path.suffix in (".c", ".h"):
        yield from re.findall(r'^ *# *include "([^"]+)"', text, re.M)
        yield from re.findall(r"^ *# *include <(ops_[^>]+)>", text, re.M)
    else:
        relative = re.findall(r"""(?:from|import\(?|require\() *["'](\.[^"']+)""", text)
        for name in relative:
            yield str((path.parent / name).resolve().relative_to(ROOT))


def own(name: str, folder: str, path: Path) -> bool:
    """Whether it is the folder's own."""
    if path.suffix in (".c", ".h"):
        return (path.parent / name).exists()
    head = PACKAGES.get(name.split(".")[0], name.split(".")[0] + "/")
    return head == folder or name.startswith(folder)


def named(name: str, row: list[str]) -> list[str]:
    """The words of a row that allow it."""
    return [
        w for w in row if name == w or name.startswith((f"{w}.", w.rstrip("/") + "/"))
    ]


@pytest.mark.parametrize("folder", [f for f in ROWS if f not in EVERYTHING])
def test_a_folder_knows_what_its_row_names(folder: str) -> None:
    used: set[str] = set()
    for path in sources(folder):
        for name in known(path):
            if not own(name, folder, path):
                words = named(name, ROWS[folder])
                assert words, f"{path.relative_to(ROOT)} knows {name}"
                used.update(words)
    assert set(ROWS[folder]) == used  # a row names nothing else


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
    """Operators of models are in toolchain/, in files like those of kernels/."""
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
TABLES = {"toolchain.abi", "toolchain.dtypes"}


def test_the_vocabulary_imports_nothing_of_the_pipeline() -> None:
    for path in (ROOT / "toolchain" / "spec").glob("*.py"):
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
