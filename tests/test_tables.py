"""Tables: facts that several languages have, and what a new line of a table makes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from ops_wasm32 import packing
from project import Project, copy_project

from toolchain import layout, tables
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
    assert {"float32": "int32", "int8": "uint8", "bool": "uint8"} == SAME_WIDTH
    assert {"bool": "uint8"} == STORAGE


def test_structs_are_laid_out_as_on_wasm32() -> None:
    offsets = [(f.name, f.offset) for f in layout.PARAM.fields()]
    assert [
        ("name", 0),
        ("flags", 4),
        ("rank", 5),
        ("dims", 6),
        ("fill", 16),
    ] == offsets
    assert ("{ ptr, i8, i8, [6 x i8], double }", 24) == (
        layout.PARAM.llvm,
        layout.PARAM.size,
    )
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
    assert 2 == packing.rank_at(bytes(8) + wanted, 8)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project")


# A number, a flag, an order of fields, the type of one, and a function's arguments.
CHANGES = {
    "a limit": (
        "call.h",
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
