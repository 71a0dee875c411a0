"""Module files: their sections, the manifest among them, and what is refused.

A file may be anybody's. What it declares is therefore read before an engine sees it:
a module that is accepted here runs no code of its own when it is loaded, and gets no
memory that its size does not account for, but for linear memory, whose pages cost
nothing until they are written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

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


class Readable(Protocol):
    """Bytes, or a file of which parts are read when they are asked for."""

    def __len__(self) -> int:
        """How many bytes there are."""
        ...

    def __getitem__(self, part: slice) -> bytes:
        """Bytes of a part."""
        ...


class ModuleFile:
    """A module's file, open for reading: of a large one most is not read at all.

    Errors: ModuleError where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModuleError(f"{path}: is no regular file; give a .wasm file")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ModuleError(f"{path}: cannot be read: {error.strerror}") from None
        self.state = os.fstat(self._file.fileno())

    def __enter__(self) -> ModuleFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Bytes of the file as it was opened."""
        return self.state.st_size

    def __getitem__(self, part: slice) -> bytes:
        """Bytes of a part; fewer where the file was cut meanwhile."""
        start, stop, _ = part.indices(len(self))
        try:
            self._file.seek(start)
            return self._file.read(max(0, stop - start))
        except OSError as error:
            text = f"{self.path}: cannot be read: {error.strerror}"
            raise ModuleError(text) from None


class Section(NamedTuple):
    """A section of a module: its number, and where its content lies in the file."""

    number: int
    start: int
    end: int

    def content(self, data: Readable) -> bytes:
        """The content."""
        return data[self.start : self.end]


def read_module(path: Path) -> bytes:
    """Content of a file; ModuleError where it cannot be read."""
    with ModuleFile(path) as file:
        return file[:]


class _Reader:
    """Reads the content of a section; IndexError where it ends too early."""

    def __init__(self, data: Readable, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        (byte,) = self.data[self.at - 1 : self.at] or (None,)
        if byte is None:
            raise IndexError
        return byte

    def number(self) -> int:
        """An unsigned LEB128 number of 32 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise IndexError

    def skip(self, size: int) -> int:
        """Go on behind so many bytes; where they begin."""
        self.at += size
        if self.at > len(self.data):
            raise IndexError
        return self.at - size

    def bytes(self, size: int) -> bytes:
        start = self.skip(size)
        return self.data[start : self.at]

    def limits(self, what: str) -> int:
        """Least size of a memory or table of 32 bits that one thread has."""
        flags = self.byte()
        if flags > 1:
            raise ValueError(f"declares a shared or a 64-bit {what}")
        least = self.number()
        if flags:
            self.number()
        return least


def read_sections(data: Readable, what: str) -> list[Section]:
    """Find the sections; ModuleError for a damaged file."""
    if data[:4] != _MAGIC:
        raise ModuleError(f"{what}: is no WebAssembly file")
    if data[4:8] != _VERSION:
        raise ModuleError(f"{what}: is no WebAssembly module of version 1")
    found: list[Section] = []
    reader = _Reader(data, 8)
    while reader.at < len(data):
        number = reader.byte()
        try:
            start = reader.skip(reader.number())
        except IndexError:
            raise ModuleError(
                f"{what}: is cut off or damaged in section {number}"
            ) from None
        found.append(Section(number, start, reader.at))
    return found


def check_declarations(data: Readable, what: str) -> None:
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
    for section in read_sections(data, what):
        try:
            if section.number in checks:
                checks[section.number](_Reader(section.content(data)))
        except IndexError:
            raise ModuleError(
                f"{what}: is cut off or damaged in section {section.number}"
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


def read_manifest(data: Readable, what: str) -> Manifest:
    """Read the manifest within a module; ModuleError where it has none."""
    found = _manifests(data, what)
    if not found:
        raise without_manifest(what)
    if len(found) > 1:
        raise ModuleError(f"{what}: has {len(found)} sections {MANIFEST}; one is right")
    try:
        manifest = json.loads(found[0])
    except (ValueError, RecursionError) as error:
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: {error}") from None
    if not isinstance(manifest, dict):
        raise ModuleError(f"{what}: section {MANIFEST} is damaged: it is no object")
    return manifest


def without_manifest(what: str) -> ModuleError:
    """The error of a module that does not say what it holds."""
    return ModuleError(
        f"{what}: has no section {MANIFEST}; it was not built by ops-wasm32, or its "
        "custom sections were stripped"
    )


def has_manifest(data: Readable, what: str) -> bool:
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


def _manifests(data: Readable, what: str) -> list[bytes]:
    found = []
    for section in read_sections(data, what):
        if section.number == _CUSTOM:
            content = section.content(data)
            reader = _Reader(content)
            try:
                name = reader.bytes(reader.number())
            except IndexError:
                raise ModuleError(
                    f"{what}: is cut off or damaged in section {section.number}"
                ) from None
            if name == MANIFEST.encode():
                found.append(content[reader.at :])
    return found


def count_entries(data: Readable, what: str) -> dict[str, int]:
    """Numbers of imports and exports; bytes of file, code and data."""
    entries = {"imports": 0, "exports": 0, "file": len(data), "code": 0, "data": 0}
    for section in read_sections(data, what):
        number, size = section.number, section.end - section.start
        if number in (_IMPORT, _EXPORT):
            key = "imports" if number == _IMPORT else "exports"
            entries[key] = _Reader(section.content(data)).number() if size else 0
        elif number in (_CODE, _DATA):
            entries["code" if number == _CODE else "data"] = size
    return entries
