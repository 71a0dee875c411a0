"""Extremes: every operator has them, and what sums in float32 make of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import ops_wasm32
import pytest

from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.spec import PARTIAL_SUMS
from toolchain.spec.cases_extremes import NARROW, every_case

PROFILE = load_profile(None)
HIGH = np.float32(3e38)
# By operator: a call whose partial sum is beyond float32, though a mean is not.
BEYOND: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda call: call([[HIGH, HIGH]], [[1], [1]]),
    "gemm": lambda call: call([[HIGH, HIGH]], [[1], [1]], None),
    "conv": lambda call: call([[[HIGH, HIGH]]], [[[1, 1]]], None),
    "average_pool": lambda call: call([[[HIGH, HIGH]]], kernel_shape=[2]),
    "batch_normalization": lambda call: call(
        [[HIGH]], *([v] for v in (1, 0, -HIGH, 9))
    ),
    "cum_sum": lambda call: call([0, HIGH, HIGH, -HIGH], axis=0),
}


@pytest.mark.parametrize("name", PROFILE.operators)
def test_every_operator_has_extremes(name: str) -> None:
    operator = load_operator(PROFILE.operators[name])
    assert operator.narrow in ("", PARTIAL_SUMS)
    for dtypes in operator.variants():
        cases = every_case(operator, dtypes, np.random.default_rng(0))
        found = [c for c in cases if c.name.startswith("extremes")]
        first = np.concatenate([np.ravel(c.inputs[0]) for c in found])
        if first.dtype == np.float32:
            high = NARROW if operator.narrow else np.finfo("f4").max
            wanted = np.array([high, -high, np.inf, -np.inf, 0, 1e-45], "f4")
            assert np.isin(wanted, first).all()
            assert np.isnan(first).any()
            assert np.signbit(first[first == 0]).any()
        elif first.dtype != np.bool_:
            ends = np.iinfo(first.dtype)
            assert np.isin([ends.min, ends.max], first).all()


@cache
def library(target: str) -> ops_wasm32.Library:
    return ops_wasm32.load(PROFILE.folder / target / "ops_wasm32.wasm")


@pytest.mark.parametrize("target", PROFILE.targets)
@pytest.mark.parametrize("name", BEYOND)
def test_a_partial_sum_beyond_float32_is_an_infinity(name: str, target: str) -> None:
    def call(*inputs: Any, **attributes: Any) -> Any:
        arrays = [x if x is None else np.array(x, "f4") for x in inputs]
        return library(target).call(name, *arrays, **attributes)

    assert np.ravel(BEYOND[name](call))[-1] == np.inf
