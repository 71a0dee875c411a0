"""Micro-kernels that fold rows, and what their suite shares with that of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from folds import FOLDS, Fold, expected
from microkernels import In, Kernel, Out, Suite, around, integers, mixed, whole
from ops_wasm32.convert import Array

from toolchain.tuning.table import TABLE

_NAMES = tuple(f"micro_rows_{fold}" for fold in FOLDS)
SUITE = Suite(_NAMES, _NAMES, unroll=False)
EXTREMES = "micro_rows_(max|min)_f32"
STEP = TABLE["reduce.step"].value


def check(
    kernel: Kernel, x: Array, extra: Any = None, bound: Array | float = 0.0
) -> None:
    """Call it on the rows of x."""
    fold = Fold.of(kernel.name)
    extra = fold.plain if extra is None else extra
    want = expected(fold, x, extra, axis=1)
    out = Out(np.ones(len(x), x.dtype), want, bound=bound)
    kernel.check(In(x), out, *x.shape, fold.bits(extra))


def depths(kernel: Kernel) -> list[int]:
    fold = Fold.of(kernel.name)
    lanes = max(kernel.lanes * 4 // fold.bytes if kernel.lanes > 1 else 1, 1)
    return around(lanes, STEP * lanes, 2 * STEP * lanes, 83, least=0)


@SUITE.each()
def test_rows(kernel: Kernel) -> None:
    fold = Fold.of(kernel.name)
    for depth in depths(kernel):
        for extra in fold.extras:
            check(kernel, fold.exact(kernel.rng, (3, depth)), extra)
    check(kernel, fold.exact(kernel.rng, (0, 5)))


@SUITE.each("micro_rows_(sum|product)_i")
def test_integers_wrap(kernel: Kernel) -> None:
    fold = Fold.of(kernel.name)
    for depth in (1, 5, 257, 1000):
        x = integers(kernel.rng, (2, depth), fold.dtype)
        x[1] = np.iinfo(fold.dtype).min + (fold.kind == "product")
        check(kernel, x)


@SUITE.each("micro_rows_(sum|squares|deviations)_f32")
def test_roundings_of_sums(kernel: Kernel) -> None:
    fold = Fold.of(kernel.name)
    for depth in (1, 31, 1000):
        x = mixed(kernel.rng, (3, depth), 0.0, -0.0, 1e-42, 1e9)
        terms = expected(fold, np.abs(x), -7.0 if fold.shifts else 1, axis=1)
        check(kernel, x, 7.0 if fold.shifts else 1, terms * (depth + 3) * 2.0**-24)


@SUITE.each("micro_rows_sum_f32")
def test_sums_that_leave_float32_on_the_way(kernel: Kernel) -> None:
    for depth in depths(kernel)[2:]:
        x = whole(kernel.rng, (4, depth), 7) * np.float32(2**125)
        x[2] = np.abs(x[2]) / depth  # stays
        terms = expected(Fold.of(kernel.name), np.abs(x), 7, axis=1)
        check(kernel, x, 7, terms * (depth + 3) * 2.0**-24)


@SUITE.each("micro_rows_.*_f32")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_anywhere(kernel: Kernel, special: float) -> None:
    for depth in depths(kernel)[1:]:
        for place in {0, depth // 2, depth - 1}:
            x = whole(kernel.rng, (3, depth))
            x[x == 0] = 1
            x[1, place] = np.copysign(special, -1 if place % 2 else special)
            if "product" not in kernel.name:
                check(kernel, x)


@SUITE.each(EXTREMES)
def test_a_nan_anywhere(kernel: Kernel) -> None:
    for depth in depths(kernel)[1:]:
        for sign in (1, -1):
            x = np.full((depth, depth), sign, "float32")
            np.fill_diagonal(x, np.copysign(np.nan, sign))
            check(kernel, x)


@SUITE.each(EXTREMES)
def test_extremes_of_every_kind(kernel: Kernel) -> None:
    values = (3.4e38, -3.4e38, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42)
    for depth in depths(kernel)[1:]:
        rows = [np.full(depth, v) for v in (*values, -1.5, 1.5, np.nan)]
        check(kernel, np.array(rows, "float32"))
        x = mixed(kernel.rng, (9, depth), *values)
        for y in (x, np.abs(x), -np.abs(x) - np.float32(1e-38)):
            check(kernel, y)
            y = y.copy()
            y[kernel.rng.random(y.shape) < 1 / depth] = np.copysign(np.nan, -1)
            check(kernel, y)
