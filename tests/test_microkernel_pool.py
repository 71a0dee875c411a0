"""Micro-kernels of pooling: every window of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, integers, mixed, rounding, whole
from ops_wasm32.convert import Array

from toolchain.spec.windows import SLACK, TABLE

_NAMES = tuple(f"micro_pool_{k}" for k in ("max_f32", "max_i8", "max_u8", "sum_f32"))
SUITE = Suite(_NAMES, _NAMES)
# Taps, stride, pads before and after, dilation.
DOWN = ((1, 1, 0, 0, 1), (2, 2, 1, 0, 1), (3, 1, 2, 2, 1), (2, 3, 0, 1, 2))
ALONG = (
    *((1, 1, 0, 0, 1), (3, 1, 1, 1, 1), (2, 1, 0, 2, 3)),
    *((3, 2, 1, 1, 1), (2, 2, 0, 0, 1), (4, 2, 3, 2, 2), (2, 3, 1, 0, 1)),
)


@dataclass(frozen=True)
class Axis:
    """One axis of a plane: its size and its windows."""

    size: int
    taps: int
    stride: int
    begin: int
    end: int
    dilation: int

    @property
    def count(self) -> int:
        """Windows."""
        room = self.size + self.begin + self.end - self.dilation * (self.taps - 1) - 1
        return room // self.stride + 1

    def places(self) -> Array:
        """[window, tap]: where it is in the plane, or outside."""
        first = np.arange(self.count)[:, None] * self.stride - self.begin
        return first + np.arange(self.taps) * self.dilation


def dtype_of(kernel: Kernel) -> tuple[str, Any]:
    """Dtype of elements, and what counts for nothing."""
    dtype = {"f32": "float32", "i8": "int8", "u8": "uint8"}[kernel.name.split("_")[3]]
    if "sum" in kernel.name:
        return dtype, 0
    return dtype, -np.inf if dtype == "float32" else np.iinfo(dtype).min


def windows(x: Array, y: Axis, axis: Axis, fill: Any) -> Array:
    """[row, column, tap, tap] of a plane, with `fill` outside."""
    far = 300  # more than any pad
    padded = np.pad(x, far, constant_values=fill)
    rows, columns = y.places() + far, axis.places() + far
    return np.asarray(padded[rows[:, None, :, None], columns[None, :, None, :]])


def table(y: Axis, x: Axis, bytes_: int, blank: int) -> Array:
    """What spec/windows.fold writes for the micro-kernel."""
    given = {
        "rows": y.count,
        "columns": x.count,
        "width": x.size,
        "taps": x.taps,
        "down": y.dilation * x.size * bytes_,
        "across": x.dilation * bytes_,
        "stride": x.stride,
        "begin": x.begin * bytes_,
        "blank": blank * bytes_,
    }
    words = [given[word] for word in TABLE]
    for places in y.places():
        inside = [p for p in places if 0 <= p < y.size]
        words += [inside[0] * x.size * bytes_ if inside else 1 << 30, len(inside)]
    return np.array(words, "int32")


def check(kernel: Kernel, plane: Array, y: Axis, x: Axis, exact: bool = True) -> None:
    """Call it on a plane; the line's pads, and the row of nothing, must stay."""
    dtype, fill = dtype_of(kernel)
    bytes_ = np.dtype(dtype).itemsize
    taps = windows(plane, y, x, fill).astype("float64")
    fold = np.sum if "sum" in kernel.name else np.max
    want = fold(taps, (2, 3))
    out = Out(np.ones(want.shape, dtype), want)
    if not exact:
        out.bound = y.taps * x.taps * rounding(np.abs(taps).sum((2, 3)))
    reach = (x.count - 1) * x.stride + x.dilation * (x.taps - 1) + 1
    pitch = max(reach, x.size + x.begin) + SLACK // bytes_
    line = np.full((2, pitch), fill, dtype)
    inside = np.zeros((2, pitch), bool)
    inside[0, x.begin : x.begin + x.size] = True
    scratch = Out(line, line, free=inside)
    kernel.check(In(plane), out, scratch, In(table(y, x, bytes_, pitch)))


def plane_of(kernel: Kernel, height: int, width: int) -> Array:
    dtype, _ = dtype_of(kernel)
    if dtype == "float32":
        return whole(kernel.rng, (height, width))
    return integers(kernel.rng, (height, width), dtype)


@SUITE.each()
@pytest.mark.parametrize("along", ALONG)
def test_windows(kernel: Kernel, along: tuple[int, ...]) -> None:
    lanes = 16 // np.dtype(dtype_of(kernel)[0]).itemsize
    widths = {1, 2, 3, 7, lanes - 1, lanes, lanes + 1, 2 * lanes, 4 * lanes + 1}
    for width, down in product(sorted({*widths, 8 * lanes + 5}), DOWN):
        y, x = Axis(5, *down), Axis(width, *along)
        if x.count > 0 and x.size + x.begin + x.end > x.dilation * (x.taps - 1):
            check(kernel, plane_of(kernel, 5, width), y, x)


@SUITE.each()
def test_rows_of_windows_outside_the_plane(kernel: Kernel) -> None:
    y, x = Axis(2, 3, 1, 5, 5, 4), Axis(21, 3, 2, 1, 1, 1)
    assert any(((p < 0) | (p >= 2)).all() for p in y.places())
    check(kernel, plane_of(kernel, 2, 21), y, x)


@SUITE.each("micro_pool_max_f32")
def test_maxima_of_special_values(kernel: Kernel) -> None:
    values = (np.inf, -np.inf, 0.0, -0.0, 3.4e38, -3.4e38, 1e-42)
    for stride, width in product((1, 2, 3), (3, 4, 16, 37)):
        y, x = Axis(4, 2, 1, 1, 1, 1), Axis(width, 2, stride, 1, 1, 1)
        for chosen in ((-np.inf,), (np.nan,), (-3.4e38,)):
            check(kernel, np.full((4, width), chosen[0], "float32"), y, x)
        plane = mixed(kernel.rng, (4, width), *values)
        check(kernel, plane, y, x)
        for place in range(width):
            one = plane.copy()
            one[place % 4, place] = np.copysign(np.nan, -1 if place % 2 else 1)
            check(kernel, one, y, x)


@SUITE.each("micro_pool_sum_f32")
def test_sums_with_roundings_and_special_values(kernel: Kernel) -> None:
    y, x = Axis(6, 3, 2, 1, 1, 1), Axis(29, 3, 1, 1, 1, 1)
    check(kernel, mixed(kernel.rng, (6, 29), 0.0, 1e9, 1e-42), y, x, exact=False)
    plane = plane_of(kernel, 6, 29)
    plane[1, 3], plane[4, 20], plane[0, 28] = np.nan, np.inf, -np.inf
    check(kernel, plane, y, x)
