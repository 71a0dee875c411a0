"""Micro-kernels that find where the largest or smallest element stands."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from folds import Fold
from microkernels import Array, In, Kernel, Out, Suite, around, integers, mixed, whole

from toolchain.micro.position import BLOCK, ROWS
from toolchain.micro.rows import STRIP

_ELEMENTS = ("f32", "i8", "i32", "i64")
_NAMES = (
    *(f"micro_position_max_{e}" for e in _ELEMENTS),
    "micro_position_min_f32",
    *(f"micro_find_{e}" for e in _ELEMENTS),
)
SUITE = Suite(_NAMES, _NAMES, unroll=False)
DEPTHS = (1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 1, 37)


def elements(kernel: Kernel, shape: tuple[int, ...], few: int = 3) -> Array:
    """Of few values, so that many are equal; or of any."""
    fold, rng = Fold.of(kernel.name), kernel.rng
    x = whole(rng, shape, few) if fold.floats else integers(rng, shape, fold.dtype)
    if not fold.floats and few < 99:
        ends = np.iinfo(fold.dtype)
        x = rng.choice(np.array([ends.min, -1, 0, 1, ends.max], fold.dtype), shape)
    return x


def best(kernel: Kernel, x: Array, last: int, extra: int) -> Array:
    """The first or last best of the middle axis; NaN is better than all."""
    fold = Fold.of(kernel.name)
    if not fold.floats:
        x = x ^ np.array(extra & 0xFF if fold.bytes == 1 else extra).astype(x.dtype)
    arg = np.argmin if fold.kind == "min" else np.argmax
    if last:
        return np.asarray(x.shape[1] - 1 - arg(x[:, ::-1], 1))
    return np.asarray(arg(x, 1))


def check(kernel: Kernel, x: Array, last: int, extra: int = 0) -> None:
    want = best(kernel, x, last, extra)
    out = Out(np.full(want.shape, 77, "int64"), want)
    kernel.check(In(x), out, *x.shape, last, extra)


def least(kernel: Kernel) -> int:
    """Columns of a vector."""
    fold = Fold.of(kernel.name)
    if kernel.lanes == 1:
        return 4 if fold.floats else 1
    return 16 // fold.bytes


@SUITE.each("micro_position")
@pytest.mark.parametrize("last", [0, 1])
def test_columns(kernel: Kernel, last: int) -> None:
    lanes, extras = least(kernel), Fold.of(kernel.name).extras
    widths = around(lanes, 2 * lanes, 4 * lanes + 3, least=lanes)
    for depth, width, few in product(DEPTHS, widths, (3, 99)):
        for extra in extras:
            check(kernel, elements(kernel, (2, depth, width), few), last, extra)
    check(kernel, elements(kernel, (0, 3, lanes)), last)


@SUITE.each("micro_position")
@pytest.mark.parametrize("last", [0, 1])
def test_more_than_a_strip(kernel: Kernel, last: int) -> None:
    for width in around(STRIP, STRIP + least(kernel), 2 * STRIP + 5, least=STRIP):
        check(kernel, elements(kernel, (2, 9, width)), last)


@SUITE.each("micro_position_.*_f32")
@pytest.mark.parametrize("last", [0, 1])
def test_special_values(kernel: Kernel, last: int) -> None:
    values = (3.4e38, -3.4e38, np.inf, -np.inf, 0.0, -0.0, 1e-42)
    for depth, width in product(DEPTHS, (4, 8, 13, 40)):
        shape = (2, depth, width)
        for value in (*values, np.nan):
            check(kernel, np.full(shape, value, "float32"), last)
        x = kernel.rng.choice(np.array(values, "float32"), shape)
        check(kernel, x, last)
        check(kernel, mixed(kernel.rng, shape, np.nan, np.inf, -np.inf), last)
        for place in range(depth):
            one = x.copy()
            one[1, place, width - 1 - place % width] = np.copysign(np.nan, -1)
            check(kernel, one, last)


@SUITE.each("micro_find")
@pytest.mark.parametrize("last", [0, 1])
def test_find(kernel: Kernel, last: int) -> None:
    for count in around(1, BLOCK, 2 * BLOCK, 53):
        for place in {0, count // 2, count - 1}:
            x = elements(kernel, (count,), 99)
            value = x[place : place + 1].copy()
            same = np.flatnonzero(x == value)
            out = Out(np.full(1, 77, "int64"), same[[-1 if last else 0]])
            kernel.check(In(x), In(value), out, count, last)


@SUITE.each("micro_find_f32")
@pytest.mark.parametrize("last", [0, 1])
def test_find_special_values(kernel: Kernel, last: int) -> None:
    for count, value in product((1, 16, 35), (np.nan, np.inf, -np.inf, 0.0, -0.0)):
        for place in {0, count // 2, count - 1}:
            x = np.abs(whole(kernel.rng, count)) + 1
            x[place:] = x[place:] if last else 9
            x[place] = np.copysign(value, -1) if value == 0 else value
            out = Out(np.full(1, 77, "int64"), np.array([place]))
            wanted = np.full(1, value, "float32")
            kernel.check(In(x), In(wanted), out, count, last)
