"""Products of 8-bit integers: what operators of quantized models share.

sums[..., n] = sum of (x - x_zero) * (w - w_zero[n]), exact in int32. A result is
(sums + start[n]) * (scale[n] * x_scale) + bias[n]; int8 and uint8 are that rounded,
halves to even, plus y_zero, and int32 is sums + start[n]. minimum and maximum limit
what comes out, of int8 and uint8 their integers.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.spec.arguments import Attribute, Input

Array = NDArray[Any]
WIDTH = 8  # output channels of a panel
PAIR = 2  # weights whose products one instruction adds up
EIGHT_BIT = ("uint8", "int8")
VARIANTS = tuple(product(EIGHT_BIT, (*EIGHT_BIT, "float32", "int32")))
INPUTS = (
    Input("x", ""),
    Input("w", "", dtype="int8"),
    Input("scale", "", dtype="float32", optional=True),
    Input("start", "", dtype="int32", optional=True),
    Input("bias", "", dtype="float32", optional=True),
    Input("x_scale", "", dtype="float32", optional=True),
    Input("x_zero", "", optional=True),
)
W_ZERO = Input("w_zero", "", dtype="int32", optional=True)
ATTRIBUTES = (
    Attribute("y_zero", default=0, minimum=-128, maximum=255),
    Attribute("minimum", "float", default=-np.inf, unbounded=True),
    Attribute("maximum", "float", default=np.inf, unbounded=True),
)


def rounded_up(count: int, unit: int) -> int:
    """The least multiple of a unit that is not below a number."""
    return -(-count // unit) * unit


def padded(row: Array) -> Array:
    """One number for each output channel, with zeros up to whole panels."""
    return np.pad(row, (0, rounded_up(row.size, WIDTH) - row.size))


def panels(matrix: Array) -> Array:
    """[K, N] as [ceil(N / 8), ceil(K / 2), 16]: pairs of k of 8 columns; then zeros."""
    depth, columns = matrix.shape
    rows, count = rounded_up(depth, PAIR), rounded_up(columns, WIDTH)
    whole = np.zeros((rows, count), matrix.dtype)
    whole[:depth, :columns] = matrix
    parts = whole.reshape(rows // PAIR, PAIR, count // WIDTH, WIDTH)
    shape = count // WIDTH, rows // PAIR, WIDTH * PAIR
    return np.ascontiguousarray(parts.transpose(2, 0, 3, 1).reshape(shape))


def columns_of(packed: Array, depth: int, columns: int) -> Array:
    """What `panels` was made of."""
    parts = packed.reshape(*packed.shape[:2], WIDTH, PAIR).transpose(1, 3, 0, 2)
    whole = parts.reshape(packed.shape[1] * PAIR, packed.shape[0] * WIDTH)
    return whole[:depth, :columns]


def integers(x: Array, zero: Array | None) -> Array:
    """Integers less a zero point, or one for each of the last axis."""
    return x.astype("int64") - (0 if zero is None else zero.astype("int64"))


def finished(
    sums: Array,
    scale: Array | None,
    start: Array | None,
    bias: Array | None,
    x_scale: Array | None,
    to: str,
    y_zero: int = 0,
    minimum: float = -np.inf,
    maximum: float = np.inf,
) -> Array:
    """Results of sums [..., N], in float32 as the operators compute them."""
    count = sums.shape[-1]
    if start is not None:
        sums = sums + start[:count].astype("int64")
    if to == "int32":
        return sums
    factor = np.asarray(scale, "f4")[:count]
    if x_scale is not None:
        factor = factor * np.float32(x_scale)
    real = sums.astype("f4") * factor
    if bias is not None:
        real = real + bias[:count].astype("f4")
    if to in EIGHT_BIT:
        ends = np.iinfo(to)
        low, high = max(minimum, ends.min), min(maximum, ends.max)
        real, minimum, maximum = np.rint(real) + y_zero, low, high
    return np.asarray(np.clip(real, minimum, maximum))
