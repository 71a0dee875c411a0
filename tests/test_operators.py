"""The matrix: every operator, dtype, case and target against its reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from verification import Cell, cells, check

from toolchain.codegen.operators import load_operator
from toolchain.profile import Profile, load_profile


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    file = metafunc.config.getoption("--profile-file")
    profile = load_profile(Path(file) if file else None)
    only = metafunc.config.getoption("--operator")
    if only and only not in profile.operators:
        names = ", ".join(profile.operators)
        raise pytest.UsageError(f"operator {only!r} is unknown; use one of {names}")
    matrix = list(cells(profile, only))
    metafunc.parametrize("cell", matrix, ids=[str(c) for c in matrix])


@cache
def library(path: Path) -> ops_wasm32.Library:
    return ops_wasm32.load(path)


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    file = request.config.getoption("--profile-file")
    return load_profile(Path(file) if file else None)


def test_kernel_matches_its_reference(
    cell: Cell, profile: Profile, record_property: Callable[[str, object], None]
) -> None:
    operator = load_operator(profile.operators[cell.operator])
    module = library(profile.folder / cell.target / "ops_wasm32.wasm")
    result = module.call(cell.kernel, *cell.case.inputs, **cell.case.attributes)
    results = list(result) if isinstance(result, tuple) else [result]
    ulp = check(cell, operator, [np.asarray(r) for r in results])
    record_property("operator", cell.operator)
    record_property("target", cell.target)
    record_property("ulp", ulp)
