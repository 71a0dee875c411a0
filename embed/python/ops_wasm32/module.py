"""Module files: their sections, and the manifest among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops_wasm32.errors import ModuleError

MANIFEST = "ops_wasm32.manifest"
_MAGIC = b"\0asm"
_VERSION = b"\1\0\0\0"
_CUSTOM, _IMPORT, _EXPORT, _CODE, _DATA = 0, 2, 7, 10, 11
_Sections = list[tuple[int, bytes]]


def read_module(path: Path) -> bytes:
    """Content of a file; ModuleError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModuleError(f"{path}: cannot be read: {error.strerror}") from None


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number of 32 bits; also give where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError


def read_sections(data: bytes, what: str) -> _Sections:
    """Read number and content of each section; ModuleError for a damaged file."""
    if data[:4] != _MAGIC:
        raise ModuleError(f"{what}: is no WebAssembly file")
    if data[4:8] != _VERSION:
        raise ModuleError(f"{what}: is no WebAssembly module of version 1")
    found: _Sections = []
    at = 8
    while at < len(data):
        number = data[at]
        try:
            size, start = _leb(data, at + 1)
        except IndexError:
            size, start = len(data), at
        at = start + size
        if at > len(data):
            raise ModuleError(f"{what}: is cut off or damaged in section {number}")
        found.append((number, data[start:at]))
    return found


def _custom(sections: _Sections, name: str) -> bytes | None:
    raw = name.encode()
    for number, content in sections:
        if number == _CUSTOM:
            size, at = _leb(content, 0)
            if content[at : at + size] == raw:
                return content[at + size :]
    return None


def read_manifest(data: bytes, what: str) -> dict[str, Any]:
    """Read the manifest within a module; ModuleError where there is none."""
    content = _custom(read_sections(data, what), MANIFEST)
    if content is None:
        raise ModuleError(
            f"{what}: has no section {MANIFEST}; it was not built by ops-wasm32, or "
            "its custom sections were stripped"
        )
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: {error}") from None
    if not isinstance(manifest, dict):
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: it is no object")
    return manifest


def count_entries(data: bytes, what: str) -> dict[str, int]:
    """Numbers of imports and exports; bytes of file, code and data."""
    entries = {"imports": 0, "exports": 0, "file": len(data), "code": 0, "data": 0}
    for number, content in read_sections(data, what):
        if number in (_IMPORT, _EXPORT):
            entries["imports" if number == _IMPORT else "exports"] = _leb(content, 0)[0]
        elif number in (_CODE, _DATA):
            entries["code" if number == _CODE else "data"] = len(content)
    return entries
