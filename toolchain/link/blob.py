"""Blob: bytes become an object, by the assembler."""

from __future__ import annotations

from pathlib import Path

from toolchain.abi import ALIGNMENT
from toolchain.link.clang import ZIG_TRIPLE
from toolchain.process.command import run, tool


def data_object(name: str, data: bytes, out: Path) -> Path:
    """Write an object that holds bytes under a name, aligned; its path."""
    blob, text = out.with_suffix(".bin"), out.with_suffix(".s")
    blob.write_bytes(data or bytes(1))
    text.write_text(
        f'.section .rodata.{name},"",@\n.globl {name}\n.hidden {name}\n'
        f'.balign {ALIGNMENT}\n{name}:\n.incbin "{blob}"\n'
        f".size {name}, {blob.stat().st_size}\n"
    )
    run([*tool("CLANG"), "-target", ZIG_TRIPLE, "-c", text, "-o", out])
    return out
