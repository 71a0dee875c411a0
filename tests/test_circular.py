"""sin and cos of huge arguments against exact integers, not another library's habit."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from verification import error_ulp

from toolchain.profile import load_profile

PROFILE = load_profile(None)
BITS = 320  # of pi: the bits above 2^128, the bits of a float64, and some more
# What lies nearest to a multiple of pi/2 of all float32, and a few of the next.
NEAREST = (0x6F79BE45, 0x50A3E87F, 0x6FF9BE45, 0x7079BE45, 0x6A1976F1, 0x65898498)
ULP = 2.0


def folders() -> list[Path]:
    return [PROFILE.folder / target for target in PROFILE.targets]


def arc_tangent(n: int, one: int) -> int:
    """`one` times the arc tangent of 1/n, by its series."""
    total = term = one // n
    for k in range(3, one.bit_length(), 2):
        term //= -n * n
        total += term // k
    return total


def half_pi() -> int:
    """2^BITS pi/2, by Machin's formula."""
    one = 1 << (BITS + 32)
    return (8 * arc_tangent(5, one) - 2 * arc_tangent(239, one)) >> 32


def rests(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q, r): x = n pi/2 + r, q = n mod 4, from exact integers."""
    quarter, found = half_pi(), []
    for value in x.tolist():
        whole = int(Fraction(value) * (1 << BITS))
        n = (whole + quarter // 2) // quarter
        found.append((n % 4, math.ldexp(float(Fraction(whole - n * quarter)), -BITS)))
    q, r = np.array(found).T
    return q, r


def arguments() -> np.ndarray:
    """Of every exponent from 2^17 on, of both signs, and the nearest."""
    some = np.arange(0x48000000, 0x7F800000, 99991, dtype="u4").view("f4")
    x = np.concatenate([some, np.array(NEAREST, "u4").view("f4")])
    return np.concatenate([x, -x])


@pytest.mark.parametrize("folder", folders(), ids=lambda f: f.name)
def test_every_float32_has_its_digits(folder: Path) -> None:
    library = ops_wasm32.load(folder / "ops_wasm32.wasm")
    x = arguments()
    q, r = rests(x)
    for function, phase in (("sin", 0), ("cos", 1)):
        sides = [np.sin(r), np.cos(r), -np.sin(r), -np.cos(r)]
        want = np.choose(((q + phase) % 4).astype(int), sides)
        got = library.call(function, x)
        assert error_ulp(got, want, None, 0.0) <= ULP
        # A block with small arguments beside takes the other path, with the same bits.
        alone = np.stack([x, np.zeros_like(x)], 1)
        beside = library.call(function, np.concatenate([alone, np.ones((9, 2), "f4")]))
        assert got.tobytes() == beside[: x.size, 0].tobytes()
