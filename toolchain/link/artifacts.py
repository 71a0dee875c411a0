"""Artifacts: what a build leaves in a target's folder, and in the sources."""

ARCHIVE = "libops_wasm32.a"
MODULE = "ops_wasm32.wasm"
MANIFEST = "manifest.json"
HEADERS = (
    "include/ops_wasm32.h",
    "include/ops_kernels.h",
    "include/ops_wasm32.hpp",
)
# Sources that a build writes anew where tables changed (toolchain/tables.py), and the
# headers of C that it holds against them.
C_TABLES = "runtime_stub/tables.h"
PYTHON_TABLES = "embed/python/ops_wasm32/tables.py"
JS_TABLES = "embed/js/tables.mjs"
TABLES = (C_TABLES, PYTHON_TABLES, JS_TABLES)
CHECKED_HEADERS = ("check.h", "windows.h", "graph.h", "node.h")
ARTIFACTS = (ARCHIVE, MODULE, MANIFEST, *HEADERS)
