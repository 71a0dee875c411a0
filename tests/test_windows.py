"""Windows that overlap much, which the runtime folds (runtime_stub/windows.c)."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from abi import library_path
from test_time import Call, Fueled, around, pool

from toolchain.spec.cases_windows import pooled
from toolchain.targets import TARGETS

COUNT, FEW = 8, 3
KERNELS = (
    "max_pool_float32",
    "max_pool_int8",
    "max_pool_uint8",
    "average_pool_float32",
)


@cache
def library(target: str) -> ops_wasm32.Library:
    return ops_wasm32.load(library_path(target))


def overlapping(rng: random.Random, dtype: str) -> tuple[Any, dict[str, Any]]:
    """A plane, and windows of it that have more than a hundred taps inside its pads."""
    rank = rng.choice((1, 2, 2))
    sizes = [rng.choice((1, 2, 3, 5, 8, 13)) for _ in range(rank)]
    taps = [rng.choice((1, 2, 7, 9)) for _ in range(rank)]
    taps[rng.randrange(rank) if rng.random() < 0.2 else -1] = rng.randrange(150, 260)
    gaps = [rng.choice((1, 1, 2, 3)) for _ in range(rank)]
    reach = [gap * (count - 1) for gap, count in zip(gaps, taps, strict=True)]
    pads = [rng.randint(max(0, far - 90), far) for far in (*reach, *reach)]
    # What lacks to a window.
    for i, far in enumerate(reach):
        pads[i] = max(pads[i], far + 1 - sizes[i] - pads[rank + i])
        pads[i] = min(pads[i], far)
    low = 0 if dtype == "uint8" else -99
    x = np.random.default_rng(rng.randrange(1 << 30)).integers(low, 99, (1, 2, *sizes))
    strides = [rng.choice((1, 1, 2, 3)) for _ in range(rank)]
    given = {"kernel_shape": taps, "pads": pads, "strides": strides}
    return x.astype(dtype), given | {"dilations": gaps}


def inside(rng: random.Random, dtype: str) -> tuple[Any, dict[str, Any]]:
    """A plane and windows without pads: it is larger than what they give."""
    sizes = [rng.randint(1, 3), rng.randint(800, 900)]
    taps = [rng.randint(1, min(2, sizes[0])), sizes[1] // 2]
    turn = rng.choice((1, -1))
    sizes, taps = sizes[::turn], taps[::turn]
    low = 0 if dtype == "uint8" else -99
    x = np.random.default_rng(rng.randrange(1 << 30)).integers(low, 99, (1, 1, *sizes))
    return x.astype(dtype), {"kernel_shape": taps}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_each_window_has_its_taps(kernel: str, target: str) -> None:
    rng = random.Random(kernel)
    dtype = kernel.rsplit("_", 1)[1]
    mean = kernel.startswith("average")
    lowest = -np.inf if dtype == "float32" else np.iinfo(dtype).min

    def fold(taps: Any, count: tuple[int, int]) -> Any:
        return np.sum(taps) / count[0] if mean else np.max(taps, initial=lowest)

    for some in (overlapping,) * COUNT + (inside,) * FEW:
        x, given = some(rng, dtype)
        with np.errstate(invalid="ignore"):  # no taps inside: 0 / 0
            want = pooled(x.astype(np.float64), fold, 0, **given).astype(dtype)
        got = library(target).call(kernel, x, **given)
        # Sums of integers are exact, and divided once.
        np.testing.assert_array_equal(got, want, str(given))


@pytest.mark.parametrize("target", TARGETS)
def test_the_limit_of_overlaps(target: str) -> None:
    """30 windows of 313 taps read 64 * (59 + 30) + 4096 elements, places among them."""
    x = np.ones((1, 1, 59), np.float32)
    x[..., 0] = 2**24  # to which 1 adds nothing

    def mean(after: int) -> Any:
        given = {"kernel_shape": [313], "pads": [283, after]}
        return library(target).call("average_pool", x, **given)[0, 0, 29]

    assert mean(0) == np.float32(2**24 / 59)  # tap by tap
    assert mean(1) == np.float32((2**24 + 58) / 59)  # folds of folds


def test_a_nan_stays_and_zeros_have_signs() -> None:
    x = np.zeros((1, 1, 40), np.float32)
    x[..., 5] = -0.0
    given = {"kernel_shape": [300], "pads": [299, 299]}
    got = library("mvp").call("max_pool", x, **given)
    assert np.signbit(got[0, 0, 5:305]).all()
    x[..., 20] = np.nan
    got = library("mvp").call("max_pool", x, **given)
    assert np.isnan(got[0, 0, 20:320]).all()
    assert not np.isnan(got[0, 0, :20]).any()
    assert not np.isnan(got[0, 0, 320:]).any()


@pytest.mark.parametrize("shape", [[1, 1, 900], [1, 1, 900, 1], [1, 1, 1, 900]])
def test_they_take_no_time(shape: list[int]) -> None:
    taps = [max(1, n) for n in shape[2:]]
    call: Call = pool("max_pool_float32", shape, **around(*taps))
    used, data, _ = Fueled(library_path("mvp")).used(call)
    assert 0 < used < 300 * data  # tap by tap: 1500 and more
