"""Safetensors: the weights of a model in a file beside its module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from toolchain.abi import ALIGNMENT
from toolchain.dtypes import DTYPES
from toolchain.link.module import Buffer
from toolchain.records.replace import fresh


@dataclass(frozen=True)
class Part:
    """A tensor in the block of weights. start: its first byte."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        """The byte after its last one."""
        return self.start + prod(self.shape) * DTYPES[self.dtype].bits // 8


def write_weights(
    path: Path, parts: Iterable[Part], size: int, block: Iterable[Buffer]
) -> dict[str, Any]:
    """Write a file whose data is the block, and name its parts; the manifest's entry.

    parts: in the order of their bytes. block: its bytes, `size` of them, part by part.
    """
    entries: dict[str, Any] = {}
    end = 0
    for i, part in enumerate(parts):
        if part.start > end:  # the format allows no holes
            hole = Part(f"padding.{i}", "uint8", (part.start - end,), end)
            entries |= _entry(hole)
        entries |= _entry(part)
        end = part.end
    if end < size:
        entries |= _entry(Part("padding", "uint8", (size - end,), end))
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 8) % ALIGNMENT)
    digest = hashlib.sha256()
    with fresh(path) as new, new.open("wb") as file:
        for data in (len(header).to_bytes(8, "little"), header, *block):
            digest.update(data)
            file.write(data)
    return {"file": path.name, "bytes": size, "sha256": digest.hexdigest()}


def _entry(part: Part) -> dict[str, Any]:
    return {
        part.name: {
            "dtype": DTYPES[part.dtype].safetensors,
            "shape": list(part.shape),
            "data_offsets": [part.start, part.end],
        }
    }
