"""Tables: facts that several languages have, and what a new line of a table makes."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from ops_wasm32 import packing
from project import Project, copy_project

from toolchain import layout, tables
from toolchain.codegen.data import struct_type
from toolchain.dtypes import BOOL, DTYPES, FLOAT, INT, SAME_WIDTH, STORAGE, UINT
from toolchain.link.artifacts import TABLES
from toolchain.profile import ROOT


@pytest.mark.parametrize("name", TABLES)
def test_the_files_hold_the_tables_of_today(name: str) -> None:
    assert (ROOT / name).read_bytes() == tables.content(name)


def test_dtypes_are_those_of_numpy_onnx_and_dlpack() -> None:
    kinds = {"i": INT, "u": UINT, "f": FLOAT, "b": BOOL}
    for dtype in DTYPES.values():
        known = np.dtype(dtype.name)
        assert (kinds[known.kind], 8 * known.itemsize) == (dtype.code, dtype.bits)
        assert helper.tensor_dtype_to_np_dtype(dtype.onnx) == known
    assert (0, 1, 2, 6) == (INT, UINT, FLOAT, BOOL)
    moved = {"float32": "int32", "int8": "uint8", "bool": "uint8", "float64": "int64"}
    assert moved == SAME_WIDTH
    assert {"bool": "uint8", "float16": "uint16"} == STORAGE


def test_structs_are_laid_out_as_on_wasm32() -> None:
    offsets = [(f.name, f.offset) for f in layout.PARAM.fields()]
    assert [
        ("name", 0),
        ("flags", 4),
        ("rank", 5),
        ("dims", 6),
        ("fill", 16),
    ] == offsets
    kind = str(struct_type(layout.PARAM))
    assert ("{ptr, i8, i8, [6 x i8], double}", 24) == (kind, layout.PARAM.size)
    assert 36 == layout.FAMILY.size
    assert ("<iIq", "<IiiiBBHII4xQ") == (layout.ANY.packed, layout.TENSOR.packed)
    assert "<IBB6B4xd" == layout.PARAM.packed


def test_hosts_pack_what_the_header_says() -> None:
    assert (16, 40) == (packing.ARGUMENT_BYTES, packing.TENSOR_BYTES)
    assert struct.pack("<iid", 3, 0, 0.5) == packing.pack_attribute(0.5)
    assert struct.pack("<iiq", 1, 0, -2) == packing.pack_attribute(-2)
    assert bytes(16) == packing.pack_attribute(None) == packing.pack_pointer(None)
    assert struct.pack("<iiq", 7, 0, 96) == packing.pack_pointer(96)
    wanted = struct.pack("<IiiiBBHIIxxxxQ", 64, 1, 0, 2, 1, 8, 1, 128, 0, 0)
    assert wanted == packing.pack_tensor(64, 2, "uint8", 128)
    assert 2 == packing.unpack_tensor(bytes(8) + wanted, 8).rank


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project")


# A number, a flag, an order of fields, the type of a field, a function's arguments.
CHANGES = {
    "a limit": (
        "state.h",
        "OPS_MAX_SYMBOLS 32",
        "OPS_MAX_SYMBOLS 31",
        "OPS_MAX_SYMBOLS is 32 in",
    ),
    "a flag": (
        "operator.h",
        "OPS_PARAM_VARIADIC = 2",
        "OPS_PARAM_VARIADIC = 4",
        "OPS_PARAM_VARIADIC is 2 in",
    ),
    "an error": (
        "ops_wasm32.h",
        "OPS_ERROR_MEMORY = 7",
        "OPS_ERROR_MEMORY = 8",
        "OPS_ERROR_MEMORY is 7 in",
    ),
    "an order": (
        "operator.h",
        "  uint8_t flags;\n  uint8_t rank;\n",
        "  uint8_t rank;\n  uint8_t flags;\n",
        "offsetof(ops_param, flags) is 4 in",
    ),
    "a type": (
        "operator.h",
        "  uint16_t outputs;",
        "  int16_t outputs;",
        "->outputs, uint16_t: 1",
    ),
    "an argument": (
        "ops_wasm32.h",
        "int32_t ops_find(const char *name);",
        "int32_t ops_find(const char *name, int32_t n);",
        "ops_find(0)",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_header_that_differs_ends_the_build(project: Project, kind: str) -> None:
    header, old, new, message = CHANGES[kind]
    project.edit(f"runtime_stub/{header}", old, new)
    done = project.doit("tables")
    assert done.code != 0
    assert message in done.text


def run_host(project: Project, code: str) -> str:
    """What Python prints with the host package of a copy."""
    done = subprocess.run(
        [sys.executable, "-c", f"import numpy as np, ops_wasm32\n{code}"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "embed" / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# One without SIMD, and one that the bench is to measure.
NEW_TARGETS = {"scalar": "_BASE", "simd128-tail": '(*_BASE, "simd128", "tail-call")'}
MEASURED = "from bench.row import TARGETS; from bench.whole.rows import BUILT"


@pytest.mark.parametrize("name", NEW_TARGETS)
def test_a_target_is_one_line(project: Project, name: str) -> None:
    first = '        Target("relaxed-simd", '
    line = f'        Target("{name}", {NEW_TARGETS[name]}),\n'
    project.edit("toolchain/targets.py", first, line + first)
    profile = f'operators = ["add"]\ntargets = ["{name}"]\n'
    done = project.doit("build", project.profile(profile))
    assert done.code == 0, done.text
    built = project.folder / "build"
    shutil.copytree(built / "profiles" / "small" / name, built / name)
    add = f"ops_wasm32.load(target={name!r}).call('add', np.float32([1, 2]), [3, 4])"
    assert f"{name} [4. 6.]\n" == run_host(
        project, f"print(ops_wasm32.load(target={name!r}).target, {add})"
    )
    is_simd = "simd128" in NEW_TARGETS[name]
    for tuple_ in ("TARGETS", "BUILT"):
        text = run_host(project, f"{MEASURED}; print({name!r} in {tuple_})")
        assert f"{is_simd}\n" == text
    code = f"from toolchain.tasks.models import targets_of; t = [{name!r}, 'simd128']"
    found = run_host(project, f"{code}; print(*targets_of('lenet', t))")
    assert f"{name} simd128\n" == found
    found = run_host(project, f"{code}; print(*targets_of('unet', t))")
    assert (f"{name} " if is_simd else "") + "simd128\n" == found


INT16 = '        Dtype("int16", INT, 16, "int16_t", "Int16Array", "I16", 5, "INT16"),\n'
ADDED = """
library = ops_wasm32.load("build/profiles/small/simd128/ops_wasm32.wasm")
x = np.arange(-100, 140, dtype=np.int16).reshape(5, 48) * 300
assert (library.call("add", x, np.int16(-300)) == x - np.int16(300)).all()
assert (library.call("add", x, x[:, :1]) == x + x[:, :1]).all()
assert (library.call("identity", x) == x).all()
assert (library.call("transpose", x) == x.T).all()
assert (library.call("slice", x, starts=[1], ends=[9], axes=[1], steps=[3])
        == x[:, 1:9:3]).all()
assert (library.call("concat", x, x, axis=1) == np.concatenate([x, x], 1)).all()
print(library.signature("add_int16").tensors_text())
"""


def test_a_dtype_is_one_line(project: Project) -> None:
    """What moves elements takes it by that; others name it among their dtypes."""
    first = '        Dtype("bool", '
    project.edit("toolchain/dtypes.py", first, INT16 + first)
    project.edit(
        "kernels/add.py", 'dtypes=("float32", ', 'dtypes=("float32", "int16", '
    )
    operators = ["add", "concat", "identity", "slice", "transpose"]
    profile = f'operators = {operators}\ntargets = ["simd128"]\n'.replace("'", '"')
    done = project.doit("build", project.profile(profile))
    assert done.code == 0, done.text
    assert "add_int16(a: int16, b: int16)\n" == run_host(project, ADDED)
    loader = (project.folder / "embed/js/tables.mjs").read_text()
    assert '["int16", { code: 0, bits: 16, array: Int16Array }],' in loader
