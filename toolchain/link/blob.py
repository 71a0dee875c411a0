"""Blob: a block of bytes becomes an object, which is written part by part.

An assembler would hold the block three times.
Source: the WebAssembly object file format (tool-conventions, Linking.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolchain.abi import ALIGNMENT
from toolchain.link.module import MAGIC, Buffer, named, section, unsigned

_CUSTOM, _IMPORT, _DATA = 0, 2, 11
_VERSION, _SEGMENTS, _SYMBOLS = 2, 5, 8  # of the linking section, and its parts
_OF_DATA, _HIDDEN = 1, 4  # a symbol's kind and flags
_MEMORY = named("env") + named("__linear_memory") + b"\x02\x00\x00"
_AT_0 = b"\x00\x41\x00\x0b"  # a segment of memory 0 from address 0 on


def data_object(name: str, size: int, parts: Iterable[Buffer], out: Path) -> Path:
    """Write an object that holds a block under a name, aligned; its path.

    size: bytes of the block. parts: of the block, one after the other.
    """
    filled = size or 1
    head = b"\x01" + _AT_0 + unsigned(filled)  # one segment
    with out.open("wb") as file:
        file.write(MAGIC + section(_IMPORT, b"\x01" + _MEMORY))
        file.write(bytes([_DATA]) + unsigned(len(head) + filled) + head)
        start = file.tell()
        file.writelines(parts)
        file.write(bytes(filled - (file.tell() - start)))
        file.write(section(_CUSTOM, named("linking") + _linking(name, filled)))
    return out


def _linking(name: str, size: int) -> bytes:
    """What the linker reads: the segment, and the symbol of all of it."""
    alignment = unsigned(ALIGNMENT.bit_length() - 1)
    segment = b"\x01" + named(f".rodata.{name}") + alignment + b"\x00"
    symbol = bytes([1, _OF_DATA, _HIDDEN]) + named(name) + b"\x00\x00" + unsigned(size)
    return bytes([_VERSION]) + section(_SEGMENTS, segment) + section(_SYMBOLS, symbol)
