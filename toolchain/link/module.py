"""Module: reads what a .wasm file declares, and adds custom sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


def _leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _unsigned(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, at = _leb(data, at)
    return data[at : at + size].decode(), at + size


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


def sections(data: bytes, what: str = "the file") -> Iterator[tuple[int, bytes]]:
    """Number and content of each section."""
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


def custom_section(data: bytes, name: str, what: str = "the file") -> bytes | None:
    """Content of a custom section, or None."""
    for number, content in sections(data, what):
        if number == _CUSTOM:
            found, at = _name(content, 0)
            if found == name:
                return content[at:]
    return None


def add_custom_section(path: Path, name: str, content: bytes) -> None:
    """Append a custom section to a module."""
    raw = name.encode()
    body = _unsigned(len(raw)) + raw + content
    path.write_bytes(path.read_bytes() + b"\0" + _unsigned(len(body)) + body)


def interface(data: bytes) -> Interface:
    """What a module imports and exports, sorted."""
    imports: list[str] = []
    exports: list[str] = []
    for number, content in sections(data):
        if number == _IMPORT:
            imports += _imports(content)
        elif number == _EXPORT:
            exports += _exports(content)
    return Interface(tuple(sorted(imports)), tuple(sorted(exports)))


def _imports(content: bytes) -> list[str]:
    count, at = _leb(content, 0)
    found = []
    for _ in range(count):
        module, at = _name(content, at)
        field, at = _name(content, at)
        kind = _KINDS[content[at]]
        found.append(f"{module}.{field} {kind}")
        at = _skip_type(content, at + 1, kind)
    return found


def _skip_type(content: bytes, at: int, kind: str) -> int:
    if kind in ("func", "tag"):
        return _leb(content, at + (kind == "tag"))[1]
    if kind == "global":
        return at + 2
    at += kind == "table"  # the type of its elements
    flags, at = content[at], at + 1
    for _ in range(1 + (flags & 1)):
        _, at = _leb(content, at)
    return at


def _exports(content: bytes) -> list[str]:
    count, at = _leb(content, 0)
    found = []
    for _ in range(count):
        name, at = _name(content, at)
        kind = _KINDS[content[at]]
        _, at = _leb(content, at + 1)
        found.append(f"{name} {kind}")
    return found
