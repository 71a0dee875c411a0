"""The runtime with checks that trap: its tests leave no array and shift no bit out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime
from linking import compile_checked, compile_runtime_checked, link_built

from toolchain.link.clang import RUNTIME
from toolchain.process.command import run, tool
from toolchain.profile import full_profile

# Those that fill its arrays.
TESTS = ("test_limits", "test_ranks", "test_fixed_shapes", "test_error_texts")
FAULTS = """\
#include <stdint.h>
static int32_t array[4] = {5, 6, 7, 8};
int32_t at(int32_t i) { return array[i]; }
int32_t shifted(int32_t i) { return 1 << i; }
"""


@pytest.mark.parametrize(
    ("name", "good", "bad"), [("at", 3, 4), ("at", 0, -1), ("shifted", 3, 32)]
)
def test_a_fault_traps(tmp_path: Path, name: str, good: int, bad: int) -> None:
    source, out = tmp_path / "faults.c", tmp_path / "faults.wasm"
    source.write_text(FAULTS)
    compile_checked(source, "mvp", out.with_suffix(".o"), RUNTIME / "call.c")
    export = f"--export={name}"
    run([*tool("WASM_LD"), "--no-entry", export, out.with_suffix(".o"), "-o", out])
    store = wasmtime.Store()
    module = wasmtime.Module.from_file(store.engine, str(out))
    function = wasmtime.Instance(store, module, []).exports(store)[name]
    assert isinstance(function, wasmtime.Func)
    assert function(store, good) in (5, 8)
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        function(store, bad)


def test_the_runtime_has_none(tmp_path: Path) -> None:
    compile_runtime_checked(tmp_path, "mvp")
    link_built(tmp_path, sorted(full_profile().operators)).replace(
        tmp_path / "mvp" / "ops_wasm32.wasm"
    )
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in TESTS]
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not simd")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, *files],
        env=os.environ | {"OPS_WASM32_BUILD": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
