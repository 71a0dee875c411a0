"""Size: the bare runtime, and a library of one operator."""

from __future__ import annotations

from pathlib import Path

import pytest
from abi import runtime_objects
from project import Project, copy_project

from toolchain.abi import declaration
from toolchain.codegen.descriptor import table
from toolchain.codegen.llvm import emit
from toolchain.codegen.room import room
from toolchain.link.archive import archive
from toolchain.link.link import link
from toolchain.targets import TARGETS

MAX_MEMORY = 1 << 30


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with add in float32 built for every target."""
    project = copy_project(tmp_path_factory.mktemp("size") / "project")
    done = project.doit("build", project.begun('operators = {add = ["float32"]}'))
    assert done.code == 0, done.text
    return project


@pytest.mark.parametrize("target", TARGETS)
def test_bare_runtime_is_under_8_kb(tmp_path: Path, target: str) -> None:
    """All of the ABI, checks of attributes included, and no operator."""
    objects = runtime_objects(target)
    members = [path for path in objects if not path.stem.startswith("collapse_")]
    # What a call's attributes need is part of the checker; without an operator
    # that has some, nothing else refers to it.
    part = "ops_check_attributes"
    kept = f"@llvm.used = appending global [1 x ptr] [ptr @{part}]"
    text = f"{declaration(part)}\n{kept}\n"
    members.append(tmp_path / "ops_table.o")
    members[-1].write_bytes(emit([table([]), room([]), text], TARGETS[target]))
    archive(members, tmp_path / "bare.a")
    link(tmp_path / "bare.a", tmp_path / "bare.wasm", MAX_MEMORY)
    assert (tmp_path / "bare.wasm").stat().st_size < 8_000


@pytest.mark.parametrize("target", TARGETS)
def test_add_alone_is_under_10_kb(built: Project, target: str) -> None:
    assert len(built.artifacts()[f"{target}/ops_wasm32.wasm"]) < 10_000
