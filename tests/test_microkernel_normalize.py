"""Micro-kernels that scale rows."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, around, mixed, whole
from ops_wasm32.convert import Array

_NAMES = ("micro_normalize_scaled", "micro_normalize_centred")
SUITE = Suite(_NAMES, _NAMES)
MOST = 2.0**50  # of an inverse root
NAN, INF = float("nan"), float("inf")


def check(
    kernel: Kernel, x: Array, means: Array, inverses: Array, s: Array, b: Array
) -> None:
    """Call it on the rows of x; of other kinds of rows the first element is NaN."""
    centred = kernel.name.endswith("centred")
    with np.errstate(all="ignore"):
        wide = x.astype("float64") - (means[:, None] if centred else 0)
        scaled = wide * inverses[:, None].astype("float64") * s
        want = scaled + b if centred else scaled
        # Half an ULP of each of the results on the way.
        parts = np.abs(wide * inverses[:, None] * s) * 3 + np.abs(want)
        bound = np.nan_to_num(parts) * 2.0**-24 + 2.0**-148
    lost = ~((inverses > 0) & (inverses <= MOST))
    want[lost, 0] = NAN
    out = Out(np.full(x.shape, 7, "float32"), want, bound=bound)
    arrays = (In(x), In(means), In(inverses), In(s), In(b), out)
    kernel.check(*arrays, *x.shape, code=int(lost.any()))


@SUITE.each()
def test_rows(kernel: Kernel) -> None:
    step = 4 * kernel.lanes
    for depth, count in product(around(step, 2 * step, 37), (0, 1, 4)):
        x, s, b = (mixed(kernel.rng, (n, depth), 0.0, 1e9) for n in (count, 1, 1))
        means, inverses = (whole(kernel.rng, count) for _ in range(2))
        check(kernel, x, means, np.abs(inverses) + np.float32(0.3), s[0], b[0])


@SUITE.each()
@pytest.mark.parametrize(
    "inverse", [0.0, -0.0, -1.0, NAN, INF, -INF, np.nextafter(np.float32(MOST), INF)]
)
def test_a_row_whose_squares_are_lost_begins_with_nan(
    kernel: Kernel, inverse: float
) -> None:
    for depth, lost in product((1, 5, 16, 40), (0, 2)):
        inverses = np.array([1, 2, 3], "float32")
        inverses[lost] = inverse
        arrays = (whole(kernel.rng, n) for n in ((3, depth), 3))
        check(kernel, *arrays, inverses, *(whole(kernel.rng, (2, depth))))


@SUITE.each()
def test_the_ends_of_what_keeps_its_digits(kernel: Kernel) -> None:
    for inverse in (2.0**-149, 1e-30, 1.0, MOST):
        x = whole(kernel.rng, (2, 19))
        inverses = np.full(2, inverse, "float32")
        check(kernel, x, np.zeros(2, "float32"), inverses, x[0], x[1])


@SUITE.each()
@pytest.mark.parametrize("special", [NAN, INF, -INF])
def test_special_elements(kernel: Kernel, special: float) -> None:
    for place in (0, 17, 18):
        x = whole(kernel.rng, (3, 19)) + 20
        x[1, place] = special
        ones = np.ones(19, "float32")
        check(kernel, x, ones[:3], ones[:3], ones, ones)
