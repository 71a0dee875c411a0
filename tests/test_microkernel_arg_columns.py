"""Micro-kernels that find where in a column the largest or smallest element is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from folds import Fold, elements
from microkernels import In, Kernel, Out, Suite, around, mixed
from ops_wasm32.convert import Array

from toolchain.tuning.table import TABLE

_ELEMENTS = ("f32", "i8", "i32", "i64")
_NAMES = (
    *(f"micro_arg_max_{e}" for e in _ELEMENTS),
    "micro_arg_min_f32",
)
SUITE = Suite(_NAMES, _NAMES, unroll=False)
ROWS, STRIP = (TABLE[n].value for n in ("arg.rows", "reduce.strip"))
DEPTHS = (1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 1, 37)


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


@SUITE.each("micro_arg")
@pytest.mark.parametrize("last", [0, 1])
def test_columns(kernel: Kernel, last: int) -> None:
    lanes, extras = least(kernel), Fold.of(kernel.name).extras
    widths = around(lanes, 2 * lanes, 4 * lanes + 3, least=lanes)
    for depth, width, few in product(DEPTHS, widths, (3, 99)):
        for extra in extras:
            check(kernel, elements(kernel, (2, depth, width), few), last, extra)
    check(kernel, elements(kernel, (0, 3, lanes)), last)


@SUITE.each("micro_arg")
@pytest.mark.parametrize("last", [0, 1])
def test_more_than_a_strip(kernel: Kernel, last: int) -> None:
    for width in around(STRIP, STRIP + least(kernel), 2 * STRIP + 5, least=STRIP):
        check(kernel, elements(kernel, (2, 9, width)), last)


@SUITE.each("micro_arg_.*_f32")
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
