"""Micro-kernel of the pooling that halves planes: 3 x 3 windows, 2 apart."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, mixed
from ops_wasm32.convert import Array

from toolchain.micro.halve import BUFFERED, TAPS

SUITE = Suite(simd=("micro_halve_max",))
PADS = [(t, s) for t in (0, 1) for s in (0, 1)]


def extents(size: int, pad: int) -> list[int]:
    """Numbers of windows: from all that lie inside to the last that begins inside."""
    least = (size + pad - TAPS) // 2 + 1
    most = (size - 1 + pad) // 2 + 1
    return sorted({least, most})


def maxima(x: Array, pads: tuple[int, int], rows: int, columns: int) -> Array:
    wide = np.pad(x, ((pads[0], 3), (pads[1], 3)), constant_values=-np.inf)
    taps = [
        wide[r : r + 2 * rows : 2, s : s + 2 * columns : 2]
        for r in range(TAPS)
        for s in range(TAPS)
    ]
    return np.asarray(np.max(taps, 0))


def check(
    kernel: Kernel,
    x: Array,
    pads: tuple[int, int],
    extent: tuple[int, int],
    code: int | None = 0,
) -> int:
    """Call it; where it gives 1 there is no result."""
    want = maxima(x, pads, *extent)
    out = Out(np.ones(extent, "float32"), want)
    if code == 1:
        out.free = np.ones(extent, bool)
    return kernel.check(In(x), out, *x.shape, *pads, *extent, code=code)


@SUITE.each()
@pytest.mark.parametrize("pads", PADS)
def test_planes(kernel: Kernel, pads: tuple[int, int]) -> None:
    heights = (1, 2, 3, 4, 5, 8)
    for height, width in product(heights, range(BUFFERED, BUFFERED + 18)):
        if height + pads[0] >= TAPS:
            x = mixed(kernel.rng, (height, width), np.inf, 0.0, -0.0, 1e-42)
            sizes = extents(height, pads[0]), extents(width, pads[1])
            for extent in product(*sizes):
                check(kernel, x, pads, extent)


@SUITE.each()
@pytest.mark.parametrize("pads", PADS)
def test_a_nan_is_seen_wherever_a_window_has_it(
    kernel: Kernel, pads: tuple[int, int]
) -> None:
    x = kernel.rng.normal(size=(5, 21)).astype("float32")
    for extent in product(extents(5, pads[0]), extents(21, pads[1])):
        for place in np.ndindex(*x.shape):
            one = x.copy()
            one[place] = np.copysign(np.nan, -1 if sum(place) % 2 else 1)
            seen = np.isnan(maxima(one, pads, *extent)).any()
            check(kernel, one, pads, extent, 1 if seen else None)


@SUITE.each()
def test_what_adds_up_to_nan_is_left_to_others(kernel: Kernel) -> None:
    # -3.4e38 so often adds up to -inf too.
    for low in (-np.inf, -3.4e38):
        x = np.full((9, 40), low, "float32")
        extent = (extents(9, 1)[0], extents(40, 1)[0])
        check(kernel, x, (1, 1), extent, 0)
        x[3, 7] = np.inf
        check(kernel, x, (1, 1), extent, 1)
