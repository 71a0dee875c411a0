"""Artifacts: what a build leaves in a target's folder."""

ARCHIVE = "libops_wasm32.a"
MODULE = "ops_wasm32.wasm"
MANIFEST = "manifest.json"
HEADERS = ("include/ops_wasm32.h", "include/ops_kernels.h")
ARTIFACTS = (ARCHIVE, MODULE, MANIFEST, *HEADERS)
