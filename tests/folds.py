"""What the micro-kernels of rows and of columns fold, by numpy."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from microkernels import Kernel, integers, whole
from ops_wasm32.convert import Array

_DTYPES = {"f32": "float32", "i8": "int8", "i32": "int32", "i64": "int64"}
# Sums of integers are wider than their elements, for means.
_WIDER = {"int8": "int32", "int32": "int64", "int64": "int64"}
FOLDS = (
    *(f"{k}_{e}" for k in ("sum", "product", "max") for e in _DTYPES),
    *("min_f32", "squares_f32", "deviations_f32"),
)
_SIGN = 0x80  # of a uint8


@dataclass(frozen=True)
class Fold:
    """What a name says."""

    kind: str
    dtype: str

    @classmethod
    def of(cls, name: str) -> Fold:
        *_, kind, element = name.split("_")
        return cls(kind, _DTYPES[element])

    @property
    def bytes(self) -> int:
        """Of an element."""
        return np.dtype(self.dtype).itemsize

    @property
    def floats(self) -> bool:
        """Whether elements are."""
        return self.dtype == "float32"

    @property
    def shifts(self) -> bool:
        """Whether `extra` is what elements are taken from."""
        return self.kind == "deviations"

    @property
    def plain(self) -> int:
        """The `extra` that does nothing."""
        return int(self.kind == "sum")

    @property
    def extras(self) -> tuple[Any, ...]:
        """Divisors of a sum, what deviations are from, orders of integers."""
        if self.kind == "sum":
            return (1, 3, 64)
        if self.shifts:
            return (0.0, -2.5)
        if self.kind == "max" and not self.floats:
            return (0, -1, *((_SIGN, -1 ^ _SIGN) if self.bytes == 1 else ()))
        return (0,)

    def bits(self, extra: Any) -> int:
        """The argument that says `extra`."""
        if not self.shifts:
            return int(extra)
        return int(struct.unpack("<i", struct.pack("<f", extra))[0])

    def exact(self, rng: np.random.Generator, shape: int | Sequence[int]) -> Array:
        """Elements whose fold is exact."""
        if not self.floats:
            return integers(rng, shape, self.dtype)
        if self.kind == "product":
            return 2.0 ** whole(rng, shape, 1)
        return whole(rng, shape)


def expected(fold: Fold, x: Array, extra: Any, axis: int) -> Array:
    """The fold along an axis, as micro-kernels give it; floats in float64."""
    if fold.floats:
        return _floats(fold, x.astype("float64"), extra, axis)
    if fold.kind == "max":
        turn = np.array(extra & 0xFF if fold.bytes == 1 else extra).astype(fold.dtype)
        least = np.iinfo(fold.dtype).min
        return np.asarray(np.max(x ^ turn, axis, initial=least) ^ turn)
    dtype = _WIDER[fold.dtype] if fold.kind == "sum" else fold.dtype
    wide = x.astype(dtype)
    if fold.kind == "product":
        return np.asarray(np.prod(wide, axis, dtype=dtype))
    total = np.sum(wide, axis, dtype=dtype)
    down = total // extra
    towards_zero = down + ((total < 0) & (down * extra != total))
    return np.asarray(towards_zero.astype(fold.dtype))


def _floats(fold: Fold, x: Array, extra: Any, axis: int) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        if fold.kind == "sum":
            return np.asarray(np.sum(x, axis) / extra)
        if fold.kind == "product":
            return np.asarray(np.prod(x, axis))
        if fold.kind == "max":
            return np.asarray(np.max(x, axis, initial=-np.inf))
        if fold.kind == "min":
            return np.asarray(np.min(x, axis, initial=np.inf))
        return np.asarray(np.sum((x - (extra if fold.shifts else 0)) ** 2, axis))


def elements(kernel: Kernel, shape: tuple[int, ...], few: int = 3) -> Array:
    """Of few values, so that many are equal; or of any."""
    fold, rng = Fold.of(kernel.name), kernel.rng
    x = whole(rng, shape, few) if fold.floats else integers(rng, shape, fold.dtype)
    if not fold.floats and few < 99:
        ends = np.iinfo(fold.dtype)
        x = rng.choice(np.array([ends.min, -1, 0, 1, ends.max], fold.dtype), shape)
    return x
