"""Micro-kernels that do anew, in float64, what has left float32 on the way."""

from __future__ import annotations

import numpy as np
import pytest
from microkernels import Array, In, Kernel, Out, Suite

_FOLDS = tuple(f"micro_wide_{kind}" for kind in ("sum", "product", "norm"))
_NAMES = (*_FOLDS, "micro_wide_normalization")
SUITE = Suite(_NAMES, _NAMES, unroll=False)
FOLDS = "micro_wide_(sum|product|norm)$"
HIGH = np.finfo("f4").max
# What a fold in float32 has left, and whether it is done anew.
LEFT = {np.inf: True, -np.inf: True, np.nan: True, 7.0: False, 2.0**-49: False}
LEFT |= {0.0: False, 2.0**-51: False}
COLUMNS = np.array(
    [
        [HIGH, HIGH, -HIGH, 1],
        [HIGH, -HIGH, HIGH, -HIGH],
        [1e-30, 2e-30, 1e-45, 0],
        [1e30, 1e30, 1e-30, 1e-30],
        [np.inf, HIGH, 1, 0],
        [np.inf, -np.inf, 1, 0],
        [np.nan, 1, 2, 3],
    ],
    "f4",
).T


def folded(kind: str, x: Array, extra: int) -> Array:
    """The fold over axis 1 of x[i, r, j], in float64."""
    wide = x.astype("f8")
    with np.errstate(all="ignore"):
        if kind == "product":
            found = np.prod(wide, 1)
        elif kind == "norm":
            found = np.sqrt(np.sum(wide * wide, 1))
        else:
            found = np.sum(wide, 1) / extra
        return np.asarray(found.astype("f4"))


@SUITE.each(FOLDS)
@pytest.mark.parametrize("left", LEFT, ids=str)
def test_what_is_beyond_is_folded_anew(kernel: Kernel, left: float) -> None:
    kind = kernel.name.rpartition("_")[2]
    anew = LEFT[left] or (kind == "norm" and left < 2.0**-50)
    for width, extra in ((7, 4), (1, 1)):
        x = np.stack([COLUMNS[:, :width], COLUMNS[::-1, :width]])
        before = np.full((2, width), left, "f4")
        want = folded(kind, x, extra) if anew else before
        sizes = (before.size, width, len(COLUMNS), width)
        kernel.check(In(x), Out(before, want), *sizes, extra)


@SUITE.each(FOLDS)
def test_a_fold_of_nothing(kernel: Kernel) -> None:
    kind = kernel.name.rpartition("_")[2]
    x = np.zeros((2, 0, 3), "f4")
    before = np.full((2, 3), np.inf, "f4")
    kernel.check(In(x), Out(before, folded(kind, x, 1)), 6, 3, 0, 3, 1)


@SUITE.each("micro_wide_normalization")
@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_rows_of_nan_are_normalized(
    kernel: Kernel, centred: int, epsilon: float
) -> None:
    x = COLUMNS.T.copy()
    scale, bias = (kernel.rng.uniform(-2, 2, 4).astype("f4") for _ in range(2))
    wide = x.astype("f8")
    with np.errstate(all="ignore"):
        wide = wide - (np.mean(wide, 1, keepdims=True) if centred else 0)
        spread = np.mean(wide * wide, 1, keepdims=True) + np.float32(epsilon)
        want = wide / np.sqrt(spread) * scale + centred * bias.astype("f8")
        want = want.astype("f4")
    before = np.full(x.shape, np.nan, "f4")
    before[::3] = want[::3] = 7
    bound = 2.0**-23 * np.abs(np.nan_to_num(want))
    bits = int(np.float32(epsilon).view("i4"))
    arrays = (In(x), In(scale), In(bias), Out(before, want, bound=bound))
    kernel.check(*arrays, *x.shape, bits, centred)
