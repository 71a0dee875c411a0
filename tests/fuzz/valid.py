"""Valid calls: any operator's cases, with other values and sizes."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from ops_wasm32.convert import Array
from random_cases import CASES, random_cell
from verification import Cell

from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.spec import Case, kernel_name

SPECIAL = np.array(
    [
        *(0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 127.5, -128.5, 255.5, 88.7, -103.9),
        *(3.4028235e38, -3.4028235e38, 1.1754944e-38, 1e-45, -1e-45, 8388609.0),
        *(2147483648.0, -9.3e18, np.inf, -np.inf, np.nan),
    ],
    np.float32,
)
# Inputs whose values say what is valid, by operator: indices, scales, divisors.
KEPT = {"gather": (1,), "quantize_linear": (1, 2), "dequantize_linear": (1, 2)}
KEPT |= {"div": (1,), "mod": (1,), "batch_normalization": (1, 2, 3, 4)}


@cache
def _variants() -> list[tuple[str, tuple[str, ...]]]:
    profile = load_profile(None)
    return [
        (name, dtypes)
        for name, path in sorted(profile.operators.items())
        for dtypes in load_operator(path).variants()
    ]


@cache
def _cases(name: str, dtypes: tuple[str, ...]) -> list[Case]:
    rng = np.random.default_rng(zlib.crc32(kernel_name(name, dtypes).encode()))
    return list(load_operator(load_profile(None).operators[name]).cases(dtypes, rng))


def valid_cell(seed: int) -> Cell:
    """A call that an operator takes; the same seed gives the same one."""
    rng = random.Random(seed)
    name, dtypes = rng.choice(_variants())
    if name in CASES and rng.random() < 0.5:
        return random_cell(name, seed, "simd128")
    case = rng.choice(_cases(name, dtypes))
    if rng.random() < 0.8:
        kept = KEPT.get(name, ())
        numbers = np.random.default_rng(seed)
        inputs = tuple(
            _other(x, numbers) if i not in kept else x
            for i, x in enumerate(case.inputs)
        )
        case = replace(case, inputs=inputs)
    return Cell(name, kernel_name(name, dtypes), dtypes, "simd128", case)


def _other(x: Any, rng: np.random.Generator) -> Any:
    """Another array of the same shape and dtype: any bits, or a few special values."""
    if isinstance(x, (list, tuple)):
        return type(x)(_other(each, rng) for each in x)
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype == np.bool_:
        return rng.integers(0, 2, x.shape).astype(bool)
    if x.dtype != np.float32:
        info = np.iinfo(x.dtype)
        return rng.integers(info.min, info.max, x.shape, x.dtype, endpoint=True)
    return _floats(x.shape, rng)


def _floats(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    bits = rng.integers(0, 1 << 32, shape, np.uint32)
    scaled = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)
    some = rng.choice(SPECIAL, shape)
    kinds = (bits.view(np.float32) if bits.shape else scaled, scaled, some)
    chosen = np.asarray(kinds[rng.integers(3)], np.float32)
    mixed = np.where(rng.random(shape) < 0.1, some, chosen)
    return np.asarray(mixed, np.float32)
