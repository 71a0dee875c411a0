"""Halves: float32 constants whose elements 16 bits hold, as files of halves have them.

They lie in the module in 16 bits, and become float32 before the first call, so that
kernels and packed panels are those of float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Elements below which the code that widens would be larger than what is saved.
LEAST = 2048
_SOME = 256  # elements, which tell most constants that need all bits


def halved(data: NDArray[Any]) -> NDArray[Any] | None:
    """A constant as float16, or the upper halves of its elements as bytes.

    None where neither has the same bits again.
    """
    if data.dtype != np.float32 or data.size < LEAST:
        return None
    flat = np.ascontiguousarray(data).reshape(-1)
    for held in (_half, _brain):
        if held(flat[:_SOME]) is not None and (found := held(flat)) is not None:
            return found
    return None


def _half(data: NDArray[Any]) -> NDArray[Any] | None:
    with np.errstate(over="ignore"):
        half = data.astype("float16")
    same = half.astype("float32").view("uint32") == data.view("uint32")
    return half if same.all() else None


def _brain(data: NDArray[Any]) -> NDArray[Any] | None:
    bits = data.view("uint32")
    if (bits & 0xFFFF).any():
        return None
    return (bits >> 16).astype("uint16").view("uint8")
