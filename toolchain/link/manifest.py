"""Manifest: what a module is, in its custom section and beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain.abi import ABI_VERSION, MANIFEST
from toolchain.link.clang import RUNTIME
from toolchain.link.description import Description
from toolchain.link.module import ModuleError, add_custom_section, interface
from toolchain.process.command import tool_versions
from toolchain.records.replace import write
from toolchain.targets import TARGETS


def check_interface(data: bytes, target: str) -> None:
    """Compare imports and exports with runtime_stub/interface.txt."""
    found = interface(data)
    lines = [f"import {i}" for i in found.imports]
    lines += [f"export {e}" for e in found.exports]
    path = RUNTIME / "interface.txt"
    expected = path.read_text().splitlines()
    if lines != expected:
        added = sorted(set(lines) - set(expected))
        gone = sorted(set(expected) - set(lines))
        raise ModuleError(
            f"{target}: the module's interface is not that of {path}: "
            f"not expected: {added or 'nothing'}; missing: {gone or 'nothing'}"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clashing_names(descriptions: Mapping[str, Description]) -> Iterator[str]:
    """A text for each alias that another operator goes by, in any case of letters."""
    owners = {n.replace("_", ""): n for n in descriptions}
    for name, description in sorted(descriptions.items()):
        for alias in description["aliases"]:
            owner = owners.setdefault(alias.replace("_", "").lower(), name)
            if owner != name:
                yield (
                    f"{name}.py: its alias {alias!r} is a name of {owner}.py too; "
                    "remove it from one of them"
                )


def write_manifest(
    folder: Path, module: Path, descriptions: Mapping[str, Description], max_memory: int
) -> None:
    """Add the manifest to a module, and write manifest.json beside it.

    The one inside is short: it cannot hold hashes of its own file, and the
    signatures are in the module already.
    """
    target = TARGETS[folder.name]
    short = {
        "abi_version": ABI_VERSION,
        "target": target.name,
        "features": list(target.features),
        "max_memory": max_memory,
        "operators": {n: sorted(d["kernels"]) for n, d in descriptions.items()},
        "aliases": {a: n for n, d in descriptions.items() for a in d["aliases"]},
        "tools": tool_versions(),
    }
    inside = {key: value for key, value in short.items() if value != {}}
    text = json.dumps(inside, sort_keys=True, separators=(",", ":"))
    add_custom_section(module, MANIFEST, text.encode())
    archive = folder / "libops_wasm32.a"
    full = short | {
        "formulas": {n: d["formula"] for n, d in descriptions.items()},
        "kernels": {
            kernel: tensors | {"attributes": d["attributes"], "operator": name}
            for name, d in descriptions.items()
            for kernel, tensors in d["kernels"].items()
        },
        "artifacts": {
            name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for name, path in (
                ("libops_wasm32.a", archive),
                ("ops_wasm32.wasm", module),
            )
        },
        "objects": {
            f"obj/{n}.o": {"bytes": d["bytes"], "sha256": d["sha256"]}
            for n, d in descriptions.items()
        },
    }
    text = json.dumps(full, indent=1, sort_keys=True)
    write(folder / "manifest.json", text.encode() + b"\n")
