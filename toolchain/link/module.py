"""Module: reads what a .wasm file declares, and adds custom sections."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Buffer: TypeAlias = "bytes | memoryview[int]"
MAGIC = b"\0asm\x01\0\0\0"
_KINDS = ("func", "table", "memory", "global", "tag")
_CUSTOM, _IMPORT, _EXPORT = 0, 2, 7


class ModuleError(Exception):
    """A file that is no WebAssembly module; the text says what it is."""


@dataclass(frozen=True)
class Interface:
    """Imports ("module.name kind") and exports ("name kind") of a module."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]


def _leb(data: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def unsigned(value: int) -> bytes:
    """A number as LEB128."""
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def named(name: str) -> bytes:
    """A name, after its length."""
    raw = name.encode()
    return unsigned(len(raw)) + raw


def section(number: int, content: bytes) -> bytes:
    """A section of a module, or a part of one."""
    return bytes([number]) + unsigned(len(content)) + content


def _name(data: Buffer, at: int) -> tuple[str, int]:
    size, at = _leb(data, at)
    return bytes(data[at : at + size]).decode(), at + size


@contextmanager
def viewed(path: Path) -> Iterator[Buffer]:
    """The bytes of a file, of which only those are read that are looked at."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        memoryview(whole) as view,
    ):
        yield view


def validate(data: bytes, what: str) -> None:
    """Load a finished module once. Errors: ModuleError where no engine would."""
    import wasmtime

    config = wasmtime.Config()
    config.parallel_compilation = False  # its threads do not survive a fork
    try:
        wasmtime.Module.validate(wasmtime.Engine(config), data)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(
            f"{what}: is not valid: {str(error).strip()}; remove build/ and build again"
        ) from None


def sections(data: Buffer, what: str = "the file") -> Iterator[tuple[int, Buffer]]:
    """Number and content of each section; of a view, views."""
    if data[:8] != MAGIC:
        raise ModuleError(f"{what}: is no WebAssembly module (its magic is missing)")
    at = 8
    while at < len(data):
        number = data[at]
        size, start = _leb(data, at + 1)
        at = start + size
        if at > len(data):
            raise ModuleError(f"{what}: is cut off within section {number}")
        yield number, data[start:at]


def custom_section(data: Buffer, name: str, what: str = "the file") -> bytes | None:
    """Content of a custom section, or None."""
    for number, content in sections(data, what):
        if number == _CUSTOM:
            found, at = _name(content, 0)
            if found == name:
                return bytes(content[at:])
    return None


def add_custom_section(path: Path, name: str, content: bytes) -> None:
    """Append a custom section to a module."""
    with path.open("ab") as file:
        file.write(section(_CUSTOM, named(name) + content))


def interface(data: Buffer) -> Interface:
    """What a module imports and exports, sorted."""
    imports: list[str] = []
    exports: list[str] = []
    for number, content in sections(data):
        if number == _IMPORT:
            imports += _imports(content)
        elif number == _EXPORT:
            exports += _exports(content)
    return Interface(tuple(sorted(imports)), tuple(sorted(exports)))


def _imports(content: Buffer) -> list[str]:
    count, at = _leb(content, 0)
    found = []
    for _ in range(count):
        module, at = _name(content, at)
        field, at = _name(content, at)
        kind = _KINDS[content[at]]
        found.append(f"{module}.{field} {kind}")
        at = _skip_type(content, at + 1, kind)
    return found


def _skip_type(content: Buffer, at: int, kind: str) -> int:
    if kind in ("func", "tag"):
        return _leb(content, at + (kind == "tag"))[1]
    if kind == "global":
        return at + 2
    at += kind == "table"  # the type of its elements
    flags, at = content[at], at + 1
    for _ in range(1 + (flags & 1)):
        _, at = _leb(content, at)
    return at


def _exports(content: Buffer) -> list[str]:
    count, at = _leb(content, 0)
    found = []
    for _ in range(count):
        name, at = _name(content, at)
        kind = _KINDS[content[at]]
        _, at = _leb(content, at + 1)
        found.append(f"{name} {kind}")
    return found
