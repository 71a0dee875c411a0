"""Sizes: how many bytes of WebAssembly each peer loads, from its package."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from bench.peers import npm_install, versions
from bench.row import ORT_WEB
from bench.table import between

BEGIN = "<!-- sizes: written by `doit bench_sizes` -->"
END = "<!-- end of sizes -->"
TFJS_WASM = "@tensorflow/tfjs-backend-wasm"
LITERT = "@litertjs/core"
# LiteRT.js is not measured, so the peers' package.json does not name it.
LITERT_VERSION = "2.5.3"
# The module that an engine with SIMD loads for one thread; what other builds add to
# it (threads, WebGPU, promises) is larger.
MODULES = {
    ORT_WEB: "dist/ort-wasm-simd-threaded.wasm",
    LITERT: "wasm/litert_wasm_internal.wasm",
    TFJS_WASM: "dist/tfjs-backend-wasm-simd.wasm",
}
SHORT = {ORT_WEB: "ONNX Runtime Web", LITERT: "LiteRT.js", TFJS_WASM: "TensorFlow.js"}


def measured(folder: Path) -> str:
    """The table of sizes; the packages are installed into a folder."""
    pinned = versions() | {LITERT: LITERT_VERSION}
    wanted = {name: pinned[name] for name in MODULES}
    folder.mkdir(parents=True, exist_ok=True)
    npm_install(folder, json.dumps({"private": True, "dependencies": wanted}))
    rows = ["| package | module | bytes | gzip |", "| --- | --- | --- | --- |"]
    for name, module in MODULES.items():
        data = (folder / "node_modules" / name / module).read_bytes()
        packed = len(gzip.compress(data, mtime=0))
        file = Path(module).name
        rows.append(f"| {name} {wanted[name]} | {file} | {len(data):,} | {packed:,} |")
    return "\n".join(rows)


def with_table(page: str, text: str) -> str:
    """A page's text with the table of sizes between its markers."""
    return between(page, BEGIN, END, text)
