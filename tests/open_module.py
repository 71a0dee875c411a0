"""The module of tests/open_outputs.c, with a manifest of open sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from abi import runtime_objects
from ops_wasm32.tables import MANIFEST

from toolchain.codegen.llvm import emit
from toolchain.codegen.room import room
from toolchain.link.archive import archive
from toolchain.link.clang import compile_c
from toolchain.link.link import link
from toolchain.link.module import add_custom_section
from toolchain.targets import TARGETS

SOURCE = Path(__file__).with_name("open_outputs.c")
TARGET = "mvp"
MEMORY = 1 << 21  # bytes: what leaks is seen after some calls
MANIFEST_OF_NET: dict[str, Any] = {
    "abi_version": 2,
    "target": TARGET,
    "features": [],
    "model": "net",
    "inputs": [
        {"name": name, "dtype": "float32", "shape": ["batch", "seq"]}
        for name in ("x", "mask")
    ],
    "outputs": [
        {"name": "sum", "dtype": "float32", "shape": ["batch", "seq"]},
        {"name": "where", "dtype": "int64", "shape": ["?", 2]},
    ],
    "sizes": {"batch": [0, 2147483647], "seq": [1, 512]},
    "memory": {"weights": 0},
    "tools": {},
}


def write_open_module(folder: Path, **changes: Any) -> Path:
    """Compile and link the module. changes: of its manifest."""
    own, rest, library = (folder / f"net{s}" for s in (".o", "_rest.o", ".a"))
    compile_c(SOURCE, TARGETS[TARGET], own)
    rest.write_bytes(emit([room([])], TARGETS[TARGET]))
    # The functions of these two are the file's.
    kept = [o for o in runtime_objects(TARGET) if o.stem not in ("abi", "call")]
    archive([own, rest, *kept], library)
    out = folder / "net.wasm"
    link(library, out, MEMORY)
    manifest = json.dumps(MANIFEST_OF_NET | changes)
    add_custom_section(out, MANIFEST, manifest.encode())
    return out
