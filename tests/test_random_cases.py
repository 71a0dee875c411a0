"""Operators whose kernels have edges, in random sizes, against their references."""

from __future__ import annotations

from functools import cache

import numpy as np
import ops_wasm32
import pytest
from random_cases import CASES, random_cell
from verification import check

from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.targets import TARGETS

COUNT = 12  # cases of an operator for a target


@cache
def library(target: str) -> ops_wasm32.Library:
    return ops_wasm32.load(load_profile(None).folder / target / "ops_wasm32.wasm")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("operator", CASES)
def test_random_cases(operator: str, target: str) -> None:
    path = load_profile(None).operators[operator]
    for seed in range(COUNT):
        cell = random_cell(operator, seed, target)
        case = cell.case
        got = library(target).call(cell.kernel, *case.inputs, **case.attributes)
        try:
            check(cell, load_operator(path), [np.asarray(got)])
        except AssertionError as error:
            pytest.fail(f"{cell}: {error}")
