"""Nothing flows back: who may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
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
MAY_IMPORT_TVM = {"lower.py", "expressions.py", "child.py"}
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


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.stem)
def test_kernel_imports_only_the_vocabulary(path: Path) -> None:
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


@pytest.mark.parametrize("path", TOOLCHAIN, ids=lambda p: p.stem)
def test_nothing_imports_the_task_file(path: Path) -> None:
    assert "dodo" not in imports(path)


def test_the_vocabulary_imports_nothing_of_the_pipeline() -> None:
    for path in (ROOT / "toolchain" / "spec").glob("*.py"):
        ours = {n for n in imports(path) if n.startswith("toolchain")}
        assert {n for n in ours if not n.startswith("toolchain.spec")} == set()


def test_listing_operators_loads_no_tvm() -> None:
    code = (
        "import sys; from toolchain.codegen import load_operator; "
        "from toolchain.profile import full_profile; "
        "[load_operator(p) for p in full_profile().operators.values()]; "
        "assert 'tvm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
