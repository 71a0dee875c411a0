"""Module files: their sections, the manifest among them, and what is refused.

A file may be anybody's. What it declares is therefore read before an engine sees it:
a module that is accepted here runs no code of its own when it is loaded, and gets no
memory that its size does not account for, but for linear memory, whose pages cost
nothing until they are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops_wasm32.errors import ModuleError
from ops_wasm32.tables import MANIFEST

Manifest = dict[str, Any]  # anybody's: who reads an entry checks it
_MAGIC = b"\0asm"
_VERSION = b"\1\0\0\0"
_CUSTOM, _TYPE, _IMPORT, _TABLE, _MEMORY, _EXPORT, _START = 0, 1, 2, 4, 5, 7, 8
_CODE, _DATA = 10, 11
_FUNCTION_TYPE = 0x60
_NUMBERS = (0x7B, 0x7C, 0x7D, 0x7E, 0x7F)  # v128, f64, f32, i64, i32
_FUNCREF = 0x70
_Sections = list[tuple[int, memoryview]]


def read_module(path: Path) -> bytes:
    """Content of a file; ModuleError where it cannot be read."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModuleError(f"{path}: is no regular file; give a .wasm file")
        return path.read_bytes()
    except OSError as error:
        raise ModuleError(f"{path}: cannot be read: {error.strerror}") from None


class _Reader:
    """Reads the content of a section; IndexError where it ends too early."""

    def __init__(self, data: memoryview | bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """An unsigned LEB128 number of 32 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise IndexError

    def bytes(self, size: int) -> memoryview:
        self.at += size
        if self.at > len(self.data):
            raise IndexError
        return memoryview(self.data)[self.at - size : self.at]

    def limits(self, what: str) -> int:
        """Least size of a memory or table of 32 bits that one thread has."""
        flags = self.byte()
        if flags > 1:
            raise ValueError(f"declares a shared or a 64-bit {what}")
        least = self.number()
        if flags:
            self.number()
        return least


def read_sections(data: bytes, what: str) -> _Sections:
    """Read number and content of each section; ModuleError for a damaged file."""
    if data[:4] != _MAGIC:
        raise ModuleError(f"{what}: is no WebAssembly file")
    if data[4:8] != _VERSION:
        raise ModuleError(f"{what}: is no WebAssembly module of version 1")
    found: _Sections = []
    reader = _Reader(data, 8)
    while reader.at < len(data):
        number = reader.byte()
        try:
            found.append((number, reader.bytes(reader.number())))
        except IndexError:
            raise ModuleError(
                f"{what}: is cut off or damaged in section {number}"
            ) from None
    return found


def check_declarations(data: bytes, what: str) -> None:
    """Raise ModuleError where a module declares what no module of ours does.

    Code that runs when it is loaded, imports, types other than functions of numbers,
    memories and tables that are shared, of 64 bits, or larger than the file.
    """
    checks: dict[int, Callable[[_Reader], None]] = {
        _TYPE: _check_types,
        _IMPORT: _check_imports,
        _TABLE: lambda reader: _check_tables(reader, len(data)),
        _MEMORY: _check_memories,
        _START: _check_start,
    }
    for number, content in read_sections(data, what):
        try:
            if number in checks:
                checks[number](_Reader(content))
        except IndexError:
            raise ModuleError(
                f"{what}: is cut off or damaged in section {number}"
            ) from None
        except ValueError as error:
            raise ModuleError(
                f"{what}: {error}; it was not built by ops-wasm32"
            ) from None


def _check_types(reader: _Reader) -> None:
    for _ in range(reader.number()):
        if reader.byte() != _FUNCTION_TYPE:
            raise ValueError("declares a type that is no function")
        for _ in range(2):  # arguments, then results
            if any(kind not in _NUMBERS for kind in reader.bytes(reader.number())):
                raise ValueError("declares a function of other things than numbers")


def _check_imports(reader: _Reader) -> None:
    if count := reader.number():
        raise ValueError(f"imports {count} things; a module of operators needs none")


def _check_tables(reader: _Reader, size: int) -> None:
    for _ in range(reader.number()):
        if reader.byte() != _FUNCREF:
            raise ValueError("declares a table of other things than functions")
        if (least := reader.limits("table")) > size:
            raise ValueError(f"claims {least} functions in a file of {size} bytes")


def _check_memories(reader: _Reader) -> None:
    if (count := reader.number()) != 1:
        raise ValueError(f"has {count} memories instead of one")
    reader.limits("memory")


def _check_start(reader: _Reader) -> None:
    raise ValueError(f"runs its function {reader.number()} when it is loaded")


def read_manifest(data: bytes, what: str) -> Manifest:
    """Read the manifest within a module; ModuleError where it has none."""
    found = _manifests(data, what)
    if not found:
        raise ModuleError(
            f"{what}: has no section {MANIFEST}; it was not built by ops-wasm32, or "
            "its custom sections were stripped"
        )
    if len(found) > 1:
        raise ModuleError(f"{what}: has {len(found)} sections {MANIFEST}; one is right")
    try:
        manifest = json.loads(bytes(found[0]))
    except (ValueError, RecursionError) as error:
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: {error}") from None
    if not isinstance(manifest, dict):
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: it is no object")
    return manifest


def has_manifest(data: bytes, what: str) -> bool:
    """Whether a module holds a manifest, sound or damaged."""
    return bool(_manifests(data, what))


def kernels_of(manifest: Manifest, what: str) -> list[str]:
    """Names of the kernels that a manifest lists, by index.

    Errors: ModuleError, where the list is damaged.
    """
    operators: Any = manifest.get("operators")
    try:
        names = sorted(name for kernels in operators.values() for name in kernels)
        if len(set(names)) == len(names) and all(isinstance(n, str) for n in names):
            return names
    except (AttributeError, TypeError):
        pass
    raise ModuleError(
        f"{what}: its manifest is damaged: operators must list each kernel once"
    )


def _manifests(data: bytes, what: str) -> list[memoryview]:
    found = []
    for number, content in read_sections(data, what):
        if number == _CUSTOM:
            reader = _Reader(content)
            try:
                name = reader.bytes(reader.number())
            except IndexError:
                raise ModuleError(
                    f"{what}: is cut off or damaged in section {number}"
                ) from None
            if name == MANIFEST.encode():
                found.append(content[reader.at :])
    return found


def count_entries(data: bytes, what: str) -> dict[str, int]:
    """Numbers of imports and exports; bytes of file, code and data."""
    entries = {"imports": 0, "exports": 0, "file": len(data), "code": 0, "data": 0}
    for number, content in read_sections(data, what):
        if number in (_IMPORT, _EXPORT):
            key = "imports" if number == _IMPORT else "exports"
            entries[key] = _Reader(content).number() if content else 0
        elif number in (_CODE, _DATA):
            entries["code" if number == _CODE else "data"] = len(content)
    return entries
