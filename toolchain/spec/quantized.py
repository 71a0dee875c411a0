"""Products of 8-bit integers: what operators of quantized models share.

sums[..., n] = sum of (x - x_zero) * (w - w_zero[n]), exact in int32. A result is
(sums + start[n]) * (scale[n] * x_scale) + bias[n]; int8 and uint8 are that rounded,
halves to even, plus y_zero, and int32 is sums + start[n]. minimum and maximum limit
what comes out, of int8 and uint8 their integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.spec import windows as w
from toolchain.spec.arguments import Attribute, Case, Input
from toolchain.spec.cases import Rng, values

Array = NDArray[Any]
# Shape of x, of weights, attributes.
Packing = Callable[[Array], tuple[Array, dict[str, Any]]]
Taken = Sequence[tuple[tuple[int, ...], tuple[int, ...], Mapping[str, Any]]]
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
    Input("w_zero", "", dtype="int32", optional=True),
)
ATTRIBUTES = (
    Attribute("y_zero", default=0, minimum=-128, maximum=255),
    Attribute("minimum", "float", default=-np.inf, unbounded=True),
    Attribute("maximum", "float", default=np.inf, unbounded=True),
    Attribute("features", minimum=0, maximum=2**31 - 1),
)
OF_WINDOWS = (w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS)


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


def taps(weights: Array) -> Array:
    """[R, S, C] with channels up to whole panels, which are 0."""
    channels = weights.shape[2]
    more = rounded_up(channels, WIDTH) - channels
    return np.ascontiguousarray(np.pad(weights, [(0, 0), (0, 0), (0, more)]))


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


def split_windows(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of an epilogue, and those of windows, with their defaults."""
    found: dict[str, Any] = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
    names = {"kernel_shape", *found}
    found |= {n: v for n, v in given.items() if n in names and v}
    return {n: v for n, v in given.items() if n not in names}, found


def windows(
    x: Array,
    zero: Array | None,
    kernel_shape: list[int],
    strides: list[int],
    pads: list[int],
    dilations: list[int],
) -> Array:
    """Integers of windows: [N, OY, OX, R, S, C]. What is beside the image is 0."""
    size = zip(pads[:2], pads[2:], strict=True)
    wide = np.pad(integers(x, zero), [(0, 0), *size, (0, 0)])
    counts = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(
            wide.shape[1:3], kernel_shape, dilations, strides, strict=True
        )
    ]
    places = [
        np.arange(n)[:, None] * s + np.arange(k) * d
        for n, k, d, s in zip(counts, kernel_shape, dilations, strides, strict=True)
    ]
    down, across = places[0][:, None, :, None], places[1][None, :, None, :]
    return np.asarray(wide[:, down, across])


def cases_of(
    dtypes: tuple[str, ...],
    rng: Rng,
    taken: Taken,
    packed: Packing,
) -> Iterator[Case]:
    """Each of `taken`: shape of x, of the weights as numpy has them, attributes.

    packed: weights as an operator takes them, and attributes that follow. The last
    axis of weights is the channels.
    """
    for i, (shape, weights, given) in enumerate(taken):
        some = rounded_up(weights[-1], WIDTH)
        near = values(rng, (some,), "float32", 1e-4, 1e-3)
        rows: list[Any] = [near, values(rng, (some,), "int32", -99, 99), None, None]
        if dtypes[1] == "float32":
            rows = [near, None, values(rng, (some,), "float32"), np.float32(0.3)]
        more: dict[str, Any] = {"features": weights[-1], **given}
        if i % 3 and dtypes[1] != "int32":
            more |= {"minimum": 2.0, "maximum": 99.0, "y_zero": 7}
        x = values(rng, shape, dtypes[0])
        point = values(rng, (), dtypes[0]) if i % 4 else None
        zero = np.full(some, 3, "i4") if i % 2 else None
        w, windows = packed(values(rng, weights, "int8"))
        more |= windows
        name = "x".join(map(str, (*shape, *weights)))
        yield Case(f"{name}-{i}", (x, w, *rows, point, zero), more)
