"""Micro-kernel that doubles planes by linear interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, mixed, rounding, whole
from ops_wasm32.convert import Array

SUITE = Suite(simd=("micro_double_rows",))
WIDTHS = (*range(5, 22), 31, 32, 33, 64, 101)


def doubled(a: Array, b: Array) -> Array:
    """The row nearer to a of those between a and b, by half-pixel places."""
    row = 0.75 * a.astype("float64") + 0.25 * b
    places = (np.arange(2 * len(a)) + 0.5) / 2 - 0.5
    low = np.floor(places).astype(int)
    first, second = (np.clip(p, 0, len(a) - 1) for p in (low, low + 1))
    part = places - low
    with np.errstate(invalid="ignore"):
        between = (1 - part) * row[first] + part * row[second]
    return np.asarray(np.where(first == second, row[first], between))


def outs(a: Array, b: Array, exact: bool) -> list[Out]:
    found = []
    for x, y in ((a, b), (b, a)):
        bound = 0 if exact else 4 * rounding(doubled(np.abs(x), np.abs(y)))
        found.append(Out(np.ones(2 * len(a), "float32"), doubled(x, y), bound=bound))
    return found


@SUITE.each()
def test_rows(kernel: Kernel) -> None:
    for width in WIDTHS:
        a, b = (whole(kernel.rng, width, 1000) for _ in range(2))
        kernel.check(In(a), In(b), *outs(a, b, True), width)


@SUITE.each()
def test_the_row_at_an_edge(kernel: Kernel) -> None:
    for width in WIDTHS:
        a = whole(kernel.rng, width, 1000)
        row, (out, _) = In(a), outs(a, a, True)
        kernel.check(row, row, out, out, width)


@SUITE.each()
def test_roundings(kernel: Kernel) -> None:
    a, b = (mixed(kernel.rng, 101, 0.0, -0.0, 1e-42, 3e38) for _ in range(2))
    kernel.check(In(a), In(b), *outs(a, b, False), 101)


@SUITE.each()
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(kernel: Kernel, special: float) -> None:
    for width in (5, 8, 9, 13):
        for place in range(width):
            a, b = (whole(kernel.rng, width) for _ in range(2))
            a[place] = special
            kernel.check(In(a), In(b), *outs(a, b, True), width)
