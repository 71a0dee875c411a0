"""Micro-kernels that find the first largest or smallest float of rows in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, around, mixed, whole
from ops_wasm32.convert import Array

from toolchain.tuning.table import TABLE

SUITE = Suite(simd=("micro_arg_first_max_f32", "micro_arg_first_min_f32"), unroll=False)
STEPS = TABLE["reduce.step"].value * 4  # elements
DEPTHS = around(STEPS, 2 * STEPS, 3 * STEPS + 17, least=STEPS)


def expected(kernel: Kernel, x: Array) -> Array:
    """The first best, or -1 where a row is left to others."""
    low = "min" in kernel.name
    best = x.min(1) if low else x.max(1)
    told = (best < 0 if low else best > 0) & ~np.isnan(x).any(1)
    return np.where(told, np.argmin(x, 1) if low else np.argmax(x, 1), -1)


def check(kernel: Kernel, x: Array, want: Array | None = None, last: int = 0) -> None:
    want = expected(kernel, x) if want is None else want
    out = Out(np.full(len(x), 77, "int64"), want)
    kernel.check(In(x), out, *x.shape, last, 0)


@SUITE.each()
def test_rows(kernel: Kernel) -> None:
    for depth in DEPTHS:
        for most in (1, 3, 10**6):
            check(kernel, whole(kernel.rng, (5, depth), most))
        check(kernel, kernel.rng.normal(size=(5, depth)).astype("float32"))


@SUITE.each()
def test_the_best_anywhere_and_twice(kernel: Kernel) -> None:
    sign = -1 if "min" in kernel.name else 1
    for depth in (STEPS, 2 * STEPS + 5):
        rows = np.zeros((depth, depth), "float32")
        np.fill_diagonal(rows, 2 * sign)
        rows[:, -1] = np.where(rows[:, -1] == 0, sign, rows[:, -1])
        check(kernel, rows)
        rows[:, depth // 2 :][rows[:, depth // 2 :] == 0] = 2 * sign
        check(kernel, rows)


@SUITE.each()
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42])
def test_special_values(kernel: Kernel, special: float) -> None:
    values = (3.4e38, -3.4e38, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42)
    for depth in DEPTHS:
        check(kernel, np.full((2, depth), special, "float32"))
        x = mixed(kernel.rng, (9, depth), *values)
        x[np.arange(9), kernel.rng.integers(0, depth, 9)] = special
        check(kernel, x)
        for y in (np.abs(x), -np.abs(x)):
            y[3, depth - 1] = np.copysign(special, -1)
            check(kernel, y)


@SUITE.each()
def test_what_is_left_to_others(kernel: Kernel) -> None:
    nowhere = np.full(3, -1)
    for depth in (0, 1, STEPS - 1):
        check(kernel, whole(kernel.rng, (3, depth)), nowhere)
    check(kernel, whole(kernel.rng, (3, STEPS)), nowhere, last=1)
    check(kernel, whole(kernel.rng, (0, STEPS)), nowhere[:0])
