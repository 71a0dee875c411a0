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

COUNT = 8
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_each_window_has_its_taps(kernel: str, target: str) -> None:
    rng = random.Random(kernel)
    dtype = kernel.rsplit("_", 1)[1]
    mean = kernel.startswith("average")
    lowest = -np.inf if dtype == "float32" else np.iinfo(dtype).min

    def fold(taps: Any, inside: tuple[int, int]) -> Any:
        return np.sum(taps) / inside[0] if mean else np.max(taps, initial=lowest)

    for _ in range(COUNT):
        x, given = overlapping(rng, dtype)
        with np.errstate(invalid="ignore"):  # no taps inside: 0 / 0
            want = pooled(x.astype(np.float64), fold, 0, **given).astype(dtype)
        got = library(target).call(kernel, x, **given)
        # Sums of integers are exact, and divided once.
        np.testing.assert_array_equal(got, want, str(given))


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
