"""Micro-kernels of depthwise convolution that slide over rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
from microkernels import (
    In,
    Kernel,
    Out,
    Suite,
    around,
    in_turn,
    mixed,
    rounding,
    whole,
)
from ops_wasm32.convert import Array

from toolchain.micro.slide import TAPS

_NAMES = ("micro_slide_1", "micro_slide_2", "micro_slide_even")
SUITE = Suite(_NAMES, _NAMES)
GAP = 3
ROWS = (1, 2, 3, 4, 7)


def summed(x: Array, w: Array, b: Array, places: tuple[Array, Array]) -> list[Array]:
    """The sums over a padded x, and of the terms' magnitudes.

    places: of the first tap of each window, by row and by column.
    """
    down, along = places
    total = np.zeros((len(down), len(along))) + b
    terms = np.abs(total)
    for r in range(TAPS):
        for s in range(TAPS):
            product = x[np.ix_(down + r, along[:, s])].astype("float64") * w[r, s]
            total, terms = total + product, terms + np.abs(product)
    return [total, terms]


def matrices(
    kernel: Kernel, shape: tuple[int, int], weights: int, exact: bool
) -> list[Array]:
    """X, weights and biases."""
    shapes = (shape, (TAPS, TAPS, weights), (weights,))
    if exact:
        return [whole(kernel.rng, s) for s in shapes]
    return [mixed(kernel.rng, s, 0.0, -0.0, 1e9) for s in shapes]


def pitched(x: Array) -> Array:
    """Rows with a gap after each but the last."""
    wide = np.pad(x, ((0, 0), (0, GAP)), constant_values=7)
    return wide.reshape(-1)[: wide.size - GAP]


def check(
    kernel: Kernel,
    xwb: list[Array],
    sums: list[Array],
    steps: tuple[int, ...],
    exact: bool,
) -> None:
    """Call it. steps: x_tap, w_tap, w_step in elements, then pads, if any."""
    (x, w, b), (total, terms) = xwb, sums
    rows, columns = total.shape
    before = whole(kernel.rng, total.shape)
    out = Out(pitched(before), pitched(total))
    out.bound = 0.0 if exact else (TAPS**2 + 1) * rounding(pitched(terms))
    x_tap, w_tap, w_step, *pads = steps
    flat = (x.shape[1] + GAP, columns + GAP, x_tap, TAPS * w_tap, w_tap)
    sizes = (rows, columns, *(4 * n for n in flat), w_step, *pads)
    kernel.check(In(pitched(x)), In(w), In(b), out, *sizes)


@SUITE.each("micro_slide_(1|2)")
@pytest.mark.parametrize("exact", [True, False])
def test_slide(kernel: Kernel, exact: bool) -> None:
    stride, lanes = int(kernel.name[-1]), kernel.lanes
    columns = around(lanes, 2 * lanes, least=lanes)
    cases = [(r, c) for r in ROWS for c in (*columns, 17)]
    # Columns of an image; or channels of pixels that lie side by side.
    for (rows, count), pixels in in_turn(cases, (False, True, True)):
        down = np.arange(rows) * stride
        tap = count + 2 if pixels else 1
        along = np.arange(count)[:, None] + np.arange(TAPS) * tap
        shape = ((rows - 1) * stride + TAPS, int(along.max()) + 1)
        x, w, b = matrices(kernel, shape, count if pixels else lanes, exact)
        if not pixels:  # one for all columns
            w, b = (v[..., :1].repeat(lanes, -1) for v in (w, b))
        taps, bias = (w, b) if pixels else (w[..., :1], b[:1])
        sums = summed(x, taps, bias, (down, along))
        steps = (tap, w.shape[-1], int(pixels))
        check(kernel, [x, w, b], sums, steps, exact)


@SUITE.each("micro_slide_even")
@pytest.mark.parametrize("pads", [(t, s) for t in (0, 1) for s in (0, 1)])
@pytest.mark.parametrize("exact", [True, False])
def test_slide_over_even_columns(
    kernel: Kernel, pads: tuple[int, int], exact: bool
) -> None:
    lanes, (top, left) = kernel.lanes, pads
    columns = around(lanes, 2 * lanes, least=lanes)
    for rows in ROWS:
        for count in (*columns, 17):
            shape = (2 * rows + 1 - top, 2 * count + 1 - left)
            x, w, b = matrices(kernel, shape, 1, exact)
            padded = np.pad(x, ((top, 0), (left, 0)))
            along = 2 * np.arange(count)[:, None] + np.arange(TAPS)
            sums = summed(padded, w, b, (2 * np.arange(rows), along))
            w, b = w.repeat(lanes, -1), b.repeat(lanes)
            check(kernel, [x, w, b], sums, (1, lanes, 0, top, left), exact)


@SUITE.each("micro_slide")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(kernel: Kernel, special: float) -> None:
    even, lanes = "even" in kernel.name, kernel.lanes
    stride = 1 if kernel.name.endswith("1") else 2
    down = np.arange(3) * stride
    along = np.arange(9)[:, None] * (1 + even) + np.arange(TAPS)
    shape = (int(down.max()) + TAPS, int(along.max()) + 1)
    for place in range(shape[1]):
        x, w, b = matrices(kernel, shape, 1, True)
        w = np.abs(w) + 1
        x[place % shape[0], place] = special
        sums = summed(x, w, b, (down, along))
        w, b = w.repeat(lanes, -1), b.repeat(lanes)
        steps = (1, lanes, 0, *((0, 0) if even else ()))
        check(kernel, [x, w, b], sums, steps, True)


def test_the_names_say_strides() -> None:
    assert ["1", "2"] == re.findall(r"\d", "".join(SUITE.simd))
