"""memcpy, memmove and memset of the runtime: any number of bytes, from and to any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wasmtime
from abi import BUILD

from toolchain.process.command import run, tool
from toolchain.targets import TARGETS

NAMES = ("memcpy", "memmove", "memset")
COUNTS = (*range(34), 63, 64, 65)
AT, ROOM = 4096, 256  # of memory that is looked at
BEFORE = bytes(i * 37 % 251 for i in range(ROOM))


@pytest.fixture(scope="module", params=list(TARGETS))
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The three functions alone, and their memory."""
    out = tmp_path_factory.mktemp("bytes") / "bytes.wasm"
    exports = [f"--export={name}" for name in NAMES]
    source: Path = BUILD / request.param / "runtime" / "bytes.o"
    run([*tool("WASM_LD"), "--no-entry", *exports, source, "-o", out])
    store = wasmtime.Store()
    module = wasmtime.Module.from_file(store.engine, str(out))
    return store, wasmtime.Instance(store, module, []).exports(store)


def after(library: Any, name: str, *args: int) -> bytes:
    """What a function makes of the memory; it returns its first argument."""
    store, exports = library
    exports["memory"].write(store, BEFORE, AT)
    assert exports[name](store, *args) == args[0]
    return bytes(exports["memory"].read(store, AT, AT + ROOM))


def placed(data: bytes, to: int) -> bytes:
    return BEFORE[:to] + data + BEFORE[to + len(data) :]


@pytest.mark.parametrize("count", COUNTS)
def test_bytes_are_moved_and_set(library: Any, count: int) -> None:
    for to in (80, 81, 87, 160):
        for source in (80, 73, 79, 81, 88, 80 + count, 80 - count, 3):
            want = placed(BEFORE[source : source + count], to)
            args = (AT + to, AT + source, count)
            assert after(library, "memmove", *args) == want
            if abs(to - source) >= count:
                assert after(library, "memcpy", *args) == want
        for value in (0, 1, 0x7F, 0x80, 0x1FE):
            want = placed(bytes([value & 255]) * count, to)
            assert after(library, "memset", AT + to, value, count) == want
