"""Modules that are not ours, whose ops_call lies about outputs that it allocates."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from test_hostile_modules import (
    LOADER,
    MEMORY,
    OPEN,
    RUN,
    Case,
    body,
    opened,
    resident,
)


def gives(
    rank: int = 1,
    size: int = 2,
    data: int = 4096,
    dtype: int = 0x12002,
    more: str = "",
    index: int = 1,
) -> str:
    """Code of an ops_call that fills an output. dtype: code, bits and lanes, packed."""
    output = f"(i32.load offset={16 * index + 8} (local.get 1))"
    return (
        f"(i32.store offset=12 {output} (i32.const {rank}))"
        f"(i32.store offset=0 {output} (i32.const {data}))"
        f"(i32.store offset=16 {output} (i32.const {dtype}))"
        f"(i64.store (i32.load offset=20 {output}) (i64.const {size})) {more}"
    )


_SIZES = "(i32.load offset=20 (i32.load offset=24 (local.get 1)))"
_HUGE = "".join(
    f"(i64.store offset={8 * k} {_SIZES} (i64.const {0x7FFFFFFF * (k > 0)}))"
    for k in range(8)
)
# What an ops_call may say of y that is not so; memory has 131072 bytes.
GIVEN = {
    "rank 9": (gives(rank=9), "gave y rank 9"),
    "rank below 0": (gives(rank=-1), "gave y rank -1"),
    "size below 0": (gives(size=-1), "gave y shape"),
    "size of 2^40": (gives(size=1 << 40), "gave y"),
    "no data": (gives(data=0), "gave y data at 0, which is no block"),
    "odd data": (gives(data=4097), "gave y data at 4097, which is no block"),
    "data at the end": (gives(data=131064, size=3), "gave y 12 bytes outside memory"),
    "data outside": (gives(data=-64), "gave y 8 bytes outside memory"),
    "size of memory": (gives(size=32768), "gave y 131072 bytes outside memory"),
    "nothing but sizes": (gives(rank=8, more=_HUGE), "gave y shape"),
    "another dtype": (gives(dtype=0x12000), "gave y another dtype"),
    "another rank": (gives(rank=0), "instead of [n]"),
    "nothing": ("", "gave y"),
    "traps": ("(unreachable)", "unreachable"),
}
# Two outputs that together are larger than memory; a block that ops_free refuses.
_WHOLE = gives(data=8, size=32766) + gives(data=8, size=32766, index=2)
TWO = "net(x: float32) -> (y: float32, z: float32)"


def open_modules(folder: Path) -> dict[str, tuple[Path, str]]:
    """Modules whose ops_call lies, by name, and what both hosts say of them."""
    found = {}
    for name, (code, error) in GIVEN.items():
        call = body("ops_call", f"{code} (i32.const 0)")
        case = Case(error, functions=(call,), manifests=opened())
        found[name] = case.write(folder, name), error
    call = body("ops_call", f"{gives()} (i32.const 0)")
    free = body("ops_free", "(i32.const 5)")
    case = Case("", functions=(call, free), manifests=opened())
    error = "gave y data at 4096, which is no block"
    found["not freed"] = case.write(folder, "not freed"), error
    outputs = [OPEN | {"name": n} for n in "yz"]
    case = Case(
        "",
        functions=(body("ops_call", f"{_WHOLE} (i32.const 0)"),),
        manifests=opened(outputs=outputs),
        signature=TWO,
    )
    error = "gave outputs of 262128 bytes, more than memory has"
    found["too much"] = case.write(folder, "too much"), error
    return found


def test_python_checks_open_outputs(tmp_path: Path) -> None:
    before = resident()
    for name, (path, error) in open_modules(tmp_path).items():
        library = ops_wasm32.load(path)
        with pytest.raises((ops_wasm32.ModuleError, ops_wasm32.OpsError)) as caught:
            library(np.zeros(2, np.float32))
        assert error in str(caught.value), name
    assert resident() - before < MEMORY


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_javascript_checks_open_outputs(tmp_path: Path) -> None:
    modules = open_modules(tmp_path)
    runs = json.dumps([(str(path), "x") for path, _ in modules.values()])
    script = RUN.format(loader=json.dumps(LOADER), runs=runs).replace(
        'split(": ").slice(1).join(": ")', "toString()"
    )
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    for (name, (_, error)), text in zip(modules.items(), found, strict=True):
        assert isinstance(text, str), name
        assert error in text, name
