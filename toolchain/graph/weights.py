"""Weights: the block of all constants of a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.abi import ALIGNMENT


@dataclass
class Weights:
    """The block of all constants: each content once."""

    parts: list[NDArray[Any]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    size: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, data: NDArray[Any]) -> int:
        """The offset of a constant's elements."""
        plain = np.ascontiguousarray(data)
        digest = hashlib.sha256(plain.data if plain.size else b"").digest()
        if plain.size == 0:
            return 0
        if digest not in self._known:
            self._known[digest] = self.size
            self.parts.append(plain)
            self.offsets.append(self.size)
            self.size += -(-plain.nbytes // ALIGNMENT) * ALIGNMENT
        return self._known[digest]

    def blob(self) -> bytes:
        """The block."""
        block = bytearray(self.size)
        for part, at in zip(self.parts, self.offsets, strict=True):
            block[at : at + part.nbytes] = part.tobytes()
        return bytes(block)
