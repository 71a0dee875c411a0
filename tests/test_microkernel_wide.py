"""Micro-kernels that compute again in float64 what overflowed in float32."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, mixed, whole
from ops_wasm32.convert import Array

_NAMES = tuple(f"micro_wide_{k}" for k in ("sum", "product", "norm", "normalization"))
SUITE = Suite(_NAMES, _NAMES, unroll=False)
DEPTHS = (1, 2, 5, 33)
HUGE = (3e38, -3e38, 2e38, 1e30, 1e-40)
NAN, INF = float("nan"), float("inf")
_LEAST = 2.0**-50  # of a norm that is done anew


def bits(value: float) -> int:
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


def folded(kind: str, x: Array, extra: int) -> Array:
    """The fold of the middle axis in float64, rounded once."""
    x = x.astype("float64")
    with np.errstate(all="ignore"):
        if kind == "sum":
            found = np.sum(x, 1) / extra
        else:
            found = np.prod(x, 1) if kind == "product" else np.sqrt(np.sum(x * x, 1))
        return np.asarray(found, "float32")


def check(
    kernel: Kernel, x: Array, before: Array, extra: int = 1, gap: int = 0
) -> None:
    """Call it on x [i, r, j]; before: results so far."""
    kind = kernel.name.rsplit("_", 1)[1]
    count, (_, depth, width) = before.size, x.shape
    lost = ~np.isfinite(before)
    if kind == "norm":
        lost |= before < _LEAST
    want = np.where(lost, folded(kind, x, extra), before)
    wide = np.pad(x, ((0, 0), (0, 0), (0, gap)), constant_values=NAN)
    flat = wide.reshape(-1)[: wide.size - gap]
    # float64 rounds too, in another order.
    bound = np.where(lost, np.abs(np.nan_to_num(want)) * 2.0**-24, 0)
    out = Out(before.reshape(-1), want.reshape(-1), bound=bound.reshape(-1))
    kernel.check(In(flat), out, count, width, depth, width + gap, extra)


@SUITE.each("micro_wide_(sum|product|norm)$")
def test_what_is_beyond_is_done_anew(kernel: Kernel) -> None:
    for depth, width, gap in product(DEPTHS, (1, 3, 8), (0, 2)):
        for values in (HUGE, (1.0, -2.0)):
            x = mixed(kernel.rng, (2, depth, width), *values)
            before = whole(kernel.rng, (2, width))
            chosen = kernel.rng.random(before.shape)
            before[chosen < 0.3] = INF
            before[chosen > 0.7] = NAN
            for extra in (1, 3):
                check(kernel, x, before, extra, gap)


@SUITE.each("micro_wide_(sum|product|norm)$")
@pytest.mark.parametrize("special", [NAN, INF, -INF])
def test_special_elements(kernel: Kernel, special: float) -> None:
    x = whole(kernel.rng, (1, 5, 4)) + 20
    x[0, 3, 1] = special
    check(kernel, x, np.full((1, 4), NAN, "float32"))


@SUITE.each("micro_wide_norm$")
def test_small_norms(kernel: Kernel) -> None:
    x = np.full((1, 7, 3), 1e-30, "float32")
    before = np.array([[0.0, 1e-20, 2.0]], "float32")
    check(kernel, x, before)


def normalized(x: Array, s: Array, b: Array, epsilon: float, centred: int) -> Array:
    x = x.astype("float64")
    with np.errstate(all="ignore"):
        x = x - (x.mean(1, keepdims=True) if centred else 0)
        squares = (x * x).mean(1, keepdims=True)
        scaled = x / np.sqrt(squares + np.float32(epsilon)) * s
    return np.asarray(scaled + b if centred else scaled)


@SUITE.each("micro_wide_normalization")
@pytest.mark.parametrize("centred", [0, 1])
def test_rows_that_begin_with_nan_are_normalized(kernel: Kernel, centred: int) -> None:
    for depth in DEPTHS:
        for values in (HUGE, (1.0, 1e-30), (INF, 1.0), (NAN, 1.0)):
            x = mixed(kernel.rng, (5, depth), *values)
            s, b = (whole(kernel.rng, depth) for _ in range(2))
            for epsilon in (1e-5, 0.1):
                want = normalized(x, s, b, epsilon, centred)
                bound = 1e-6 * (1 + np.abs(np.nan_to_num(want)) + np.abs(b))
                before = np.full(x.shape, NAN, "float32")
                before[::3] = want[::3] = 7
                out = Out(before, want, bound=bound)
                arrays = (In(x), In(s), In(b), out)
                kernel.check(*arrays, *x.shape, bits(epsilon), centred)
