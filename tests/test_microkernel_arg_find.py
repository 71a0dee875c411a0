"""Micro-kernels that find a value in a row."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from folds import elements
from microkernels import In, Kernel, Out, Suite, around, whole

from toolchain.tuning.table import TABLE

_NAMES = tuple(f"micro_arg_find_{e}" for e in ("f32", "i8", "i32", "i64"))
SUITE = Suite(_NAMES, _NAMES, unroll=False)
BLOCK = TABLE["arg.block"].value


@SUITE.each("micro_arg_find")
@pytest.mark.parametrize("last", [0, 1])
def test_find(kernel: Kernel, last: int) -> None:
    for count in around(1, BLOCK, 2 * BLOCK, 53):
        for place in {0, count // 2, count - 1}:
            x = elements(kernel, (count,), 99)
            value = x[place : place + 1].copy()
            same = np.flatnonzero(x == value)
            out = Out(np.full(1, 77, "int64"), same[[-1 if last else 0]])
            kernel.check(In(x), In(value), out, count, last)


@SUITE.each("micro_arg_find_f32")
@pytest.mark.parametrize("last", [0, 1])
def test_find_special_values(kernel: Kernel, last: int) -> None:
    for count, value in product((1, 16, 35), (np.nan, np.inf, -np.inf, 0.0, -0.0)):
        for place in {0, count // 2, count - 1}:
            x = np.abs(whole(kernel.rng, count)) + 1
            x[place:] = x[place:] if last else 9
            x[place] = np.copysign(value, -1) if value == 0 else value
            out = Out(np.full(1, 77, "int64"), np.array([place]))
            wanted = np.full(1, value, "float32")
            kernel.check(In(x), In(wanted), out, count, last)
