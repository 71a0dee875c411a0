"""Loading of modules in the host package: built, foreign and lying."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
import wasmtime

from toolchain.profile import ROOT
from toolchain.targets import TARGETS


def test_load_takes_the_best_target() -> None:
    assert ops_wasm32.TARGETS[0] == ops_wasm32.load().target


def test_load_by_path() -> None:
    path = ROOT / "build" / "mvp" / "ops_wasm32.wasm"
    assert ("mvp", path) == (ops_wasm32.load(path).target, ops_wasm32.load(path).path)


def test_load_names_the_targets() -> None:
    with pytest.raises(ops_wasm32.ArgumentError) as caught:
        ops_wasm32.load(target="sse2")
    names = "relaxed-simd, relaxed-simd-v8, simd128, mvp"
    assert f"target 'sse2' is unknown; use {names}" == str(caught.value)


def test_each_target_of_the_build_loads_by_its_name() -> None:
    for name in TARGETS:
        assert name == ops_wasm32.load(target=name).target
    assert set(TARGETS) == set(ops_wasm32.TARGETS)


def test_load_without_a_build_says_what_to_run(tmp_path: Path) -> None:
    package = tmp_path / "embed" / "python" / "ops_wasm32"
    package.mkdir(parents=True)
    for file in (ROOT / "embed" / "python" / "ops_wasm32").glob("*.py"):
        (package / file.name).write_text(file.read_text())
    (tmp_path / "dodo.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "ops_wasm32", "list"],
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"run `doit build` in {tmp_path}" in done.stderr


@pytest.mark.parametrize(
    ("wat", "text"),
    [
        ("(module)", "is no module of operators; it does not export ops_abi"),
        ('(module (import "a" "b" (func)))', "imports 1 things; a module of"),
    ],
)
def test_foreign_modules_are_refused(tmp_path: Path, wat: str, text: str) -> None:
    path = tmp_path / "foreign.wasm"
    path.write_bytes(wasmtime.wat2wasm(wat))
    with pytest.raises(ops_wasm32.ModuleError, match=text):
        ops_wasm32.load(path)


# Each answer of this module is wrong: the host must not use one as an address.
LIAR = """(module (memory (export "memory") 2)
  (data (i32.const 8) "f\\00")
  (data (i32.const 16) "f(x: int8) -> (out: int8)\\00")
  (func (export "ops_abi_version") (result i32) (i32.const 1))
  (func (export "ops_alloc") (param i32) (result i32) (i32.const {alloc}))
  (func (export "ops_free") (param i32) (result i32) (i32.const 0))
  (func (export "ops_count") (result i32) (i32.const 1))
  (func (export "ops_name") (param i32) (result i32) (i32.const 8))
  (func (export "ops_signature") (param i32) (result i32) (i32.const 16))
  (func (export "ops_infer") (param i32 i32 i32) (result i32) {infer})
  (func (export "ops_call") (param i32 i32 i32) (result i32) (unreachable))
  (func (export "ops_last_error") (result i32) (i32.const -1)))"""


def _answer(rank: int, size: int) -> str:
    """Code of an ops_infer that fills the output of a call with one input.

    The arena: two arguments of 16 bytes, two tensors of 40, two shapes of 64.
    """
    return (
        f"(i32.store (i32.const {4096 + 32 + 40 + 12}) (i32.const {rank}))"
        f"(i64.store (i32.const {4096 + 32 + 80 + 64}) (i64.const {size})) "
        "(i32.const 0)"
    )


@pytest.mark.parametrize(
    ("alloc", "infer", "text"),
    [
        (1 << 17, _answer(1, 3), "ops_alloc gave a block outside memory"),
        (-4096, _answer(1, 3), "ops_alloc gave a block outside memory"),
        (0, _answer(1, 3), "^$"),  # out of memory, and its text is outside memory
        (4096, _answer(99, 3), "ops_infer gave out rank 99"),
        (4096, _answer(-1, 3), "ops_infer gave out rank -1"),
        (4096, _answer(1, -3), r"ops_infer gave out shape \(-3,\)"),
        (4096, _answer(1, 1 << 62), "wasm32 has less than 4 GiB"),
        (4096, _answer(1, 3), "ops_call trapped: .*; load the module anew"),
    ],
)
def test_lies_of_a_module_are_seen(
    tmp_path: Path, alloc: int, infer: str, text: str
) -> None:
    path = tmp_path / "liar.wasm"
    path.write_bytes(wasmtime.wat2wasm(LIAR.format(alloc=alloc, infer=infer)))
    with pytest.raises((ops_wasm32.ModuleError, ops_wasm32.OpsError), match=text):
        ops_wasm32.load(path).call("f", np.zeros(3, np.int8))
