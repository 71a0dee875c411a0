"""Micro-kernels that fold columns."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from folds import FOLDS, Fold, expected
from microkernels import (
    In,
    Kernel,
    Out,
    Suite,
    around,
    in_turn,
    integers,
    mixed,
    whole,
)
from ops_wasm32.convert import Array

from toolchain.tuning.table import TABLE

_NAMES = tuple(f"micro_columns_{fold}" for fold in FOLDS)
SUITE = Suite(_NAMES, _NAMES, unroll=False)
EXTREMES = "micro_columns_(max|min)_f32"
BLOCK, STRIP = (TABLE[f"reduce.{n}"].value for n in ("rows", "strip"))
DEPTHS = (0, 1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1)


def check(
    kernel: Kernel,
    x: Array,
    extra: Any = None,
    gap: int = 0,
    bound: Array | float = 0.0,
) -> None:
    """Call it on x [outer, depth, width]; gap: elements after each row but the last."""
    fold = Fold.of(kernel.name)
    extra = fold.plain if extra is None else extra
    outer, depth, width = x.shape
    wide = np.pad(x, ((0, 0), (0, 0), (0, gap)), constant_values=5)
    flat = wide.reshape(-1)[: wide.size - gap] if wide.size else wide.reshape(-1)
    want = expected(fold, x, extra, axis=1)
    out = Out(np.ones((outer, width), x.dtype), want, bound=bound)
    sizes = (outer, depth, width, width + gap)
    kernel.check(In(flat), out, *sizes, fold.bits(extra))


def least(kernel: Kernel) -> int:
    """Columns of a vector."""
    fold = Fold.of(kernel.name)
    if kernel.lanes == 1:
        return 4 if fold.floats else 1
    return 16 // fold.bytes


@SUITE.each()
def test_columns(kernel: Kernel) -> None:
    fold, lanes = Fold.of(kernel.name), least(kernel)
    widths = around(lanes, 2 * lanes, 4 * lanes, 8 * lanes + 3, least=lanes)
    sizes = [(o, d, w) for o in (1, 2) for d in DEPTHS for w in widths]
    for size, extra, gap in in_turn(sizes, fold.extras, (0, 3, 0, 1, 7)):
        check(kernel, fold.exact(kernel.rng, size), extra, gap)
    check(kernel, fold.exact(kernel.rng, (0, 3, lanes)))


@SUITE.each()
def test_more_than_a_strip(kernel: Kernel) -> None:
    fold, lanes = Fold.of(kernel.name), least(kernel)
    widths = around(STRIP, STRIP + lanes, 2 * STRIP + 5, least=STRIP)
    for width, depth in product(widths, (3, BLOCK + 1)):
        check(kernel, fold.exact(kernel.rng, (2, depth, width)), None, 2)


@SUITE.each("micro_columns_(sum|product)_i")
def test_integers_wrap(kernel: Kernel) -> None:
    fold = Fold.of(kernel.name)
    for depth in (1, 5, 257):
        x = integers(kernel.rng, (1, depth, 33), fold.dtype)
        x[..., 1] = np.iinfo(fold.dtype).min + (fold.kind == "product")
        check(kernel, x)


@SUITE.each("micro_columns_(sum|squares|deviations)_f32")
def test_roundings_of_sums(kernel: Kernel) -> None:
    fold = Fold.of(kernel.name)
    for depth in (1, 31, 1000):
        x = mixed(kernel.rng, (1, depth, 37), 0.0, -0.0, 1e-42, 1e9)
        terms = expected(fold, np.abs(x), -7.0 if fold.shifts else 1, axis=1)
        bound = terms * (depth + 3) * 2.0**-24
        check(kernel, x, 7.0 if fold.shifts else 1, 0, bound)


@SUITE.each("micro_columns_sum_f32")
def test_sums_that_leave_float32_on_the_way(kernel: Kernel) -> None:
    for depth, width in product((2, 5, BLOCK + 1), (4, 17, STRIP + 3)):
        x = whole(kernel.rng, (2, depth, width), 7) * np.float32(2**125)
        x[0, :, ::2] = np.abs(x[0, :, ::2]) / depth  # stays
        terms = expected(Fold.of(kernel.name), np.abs(x), 7, axis=1)
        check(kernel, x, 7, 0, terms * (depth + 3) * 2.0**-24)


@SUITE.each("micro_columns_(sum|squares|deviations|max|min)_f32")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_anywhere(kernel: Kernel, special: float) -> None:
    for depth, width in product((1, 3, BLOCK + 2), (4, 16, 19)):
        for place in range(width):
            x = whole(kernel.rng, (2, depth, width))
            x[place % 2, place % depth, place] = np.copysign(special, (-1) ** place)
            check(kernel, x)


@SUITE.each(EXTREMES)
def test_a_nan_where_strips_meet(kernel: Kernel) -> None:
    for more, depth in product((1, 4, 15, 16, 17), (1, BLOCK + 1)):
        width = STRIP + more
        for place in range(width - 20, width):
            x = np.ones((1, depth, width), "float32")
            x[0, place % depth, place] = np.nan
            check(kernel, x)


@SUITE.each(EXTREMES)
def test_extremes_of_every_kind(kernel: Kernel) -> None:
    values = (3.4e38, -3.4e38, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42)
    for depth, width in product((1, 2, BLOCK + 1), (4, 7, 16, 35, STRIP + 1)):
        for value in values:
            check(kernel, np.full((1, depth, width), value, "float32"))
        x = mixed(kernel.rng, (2, depth, width), *values)
        for y in (x, np.abs(x), -np.abs(x) - np.float32(1e-38)):
            check(kernel, y)
            y = y.copy()
            y[kernel.rng.random(y.shape) < 1 / y.size] = np.copysign(np.nan, -1)
            check(kernel, y)
