"""Micro-kernels of Winograd's convolution: between pixels and products."""

from __future__ import annotations

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, mixed, rounding, whole
from ops_wasm32.convert import Array

from toolchain.spec.convolution import PATCH, TILE

_NAMES = ("micro_winograd_input", "micro_winograd_output")
SUITE = Suite(_NAMES, _NAMES)
NUMBERS = PATCH**2
# Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section 4.
BEFORE = np.array(
    [
        *([4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]),
        *([0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]),
    ],
    "float64",
)
AFTER = np.array(
    [
        *([1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0]),
        *([0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]),
    ],
    "float64",
)
WEIGHTS = np.array(
    [
        *([1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6]),
        *([1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]),
    ]
)
CHANNELS = (4, 8, 12, 0)
INF = float("inf")


def transformed(matrix: Array, x: Array) -> Array:
    """M x Mᵀ of the first two axes."""
    with np.errstate(invalid="ignore"):
        wide = x.astype("float64")
        return np.asarray(np.einsum("ia,jb,abc->ijc", matrix, matrix, wide))


def pitched(x: Array, gap: int) -> tuple[Array, int, int]:
    """[rows, columns, channels] with gaps, and bytes to the next row and column.

    As float32, whatever x is.
    """
    rows, columns, channels = x.shape
    wide = np.full((rows, columns + 1, channels + gap), 3, x.dtype)
    wide[:, :columns, :channels] = x
    end = wide.size - (channels + gap) - gap
    row, column, element = wide.strides
    return wide.reshape(-1)[:end], 4 * row // element, 4 * column // element


def numbers(x: Array, gap: int) -> tuple[Array, int]:
    """The 36 numbers of each channel, and bytes from one to the next."""
    flat, step, _ = pitched(x.reshape(NUMBERS, 1, -1), gap)
    return flat, step


def take(kernel: Kernel, x: Array, exact: bool) -> None:
    """micro_winograd_input."""
    want = transformed(BEFORE, x)
    flat, step = numbers(want, 4)
    out = Out(np.full(flat.shape, 3, "float32"), flat)
    if not exact:
        most = transformed(np.abs(BEFORE), np.abs(x))
        out.bound = 12 * rounding(numbers(most, 4)[0])
    source, row, column = pitched(x, 8)
    kernel.check(In(source), out, row, column, step, x.shape[2])


def give(
    kernel: Kernel, u: Array, limits: tuple[float, float], exact: bool = True
) -> None:
    """micro_winograd_output."""
    bias = whole(kernel.rng, u.shape[2])
    want = transformed(AFTER, u) + bias
    for past, limit in ((np.less, limits[0]), (np.greater, limits[1])):
        want = np.where(past(want, limit), limit, want)
    flat, row, column = pitched(want, 8)
    out = Out(np.full(flat.shape, 3, "float32"), flat)
    if not exact:
        most = transformed(np.abs(AFTER), np.abs(u)) + np.abs(bias)
        out.bound = 13 * rounding(pitched(most, 8)[0])
    source, step = numbers(u, 4)
    kernel.check(In(source), out, In(bias), row, column, step, u.shape[2], *limits)


@SUITE.each("micro_winograd_input")
def test_pixels_to_numbers(kernel: Kernel) -> None:
    for channels in (*CHANNELS, *((1, 3) if kernel.lanes == 1 else ())):
        take(kernel, whole(kernel.rng, (PATCH, PATCH, channels), 99), True)
        x = mixed(kernel.rng, (PATCH, PATCH, channels), 0.0, -0.0, 1e-42, 1e9)
        take(kernel, x, False)


@SUITE.each("micro_winograd_output")
def test_sums_to_pixels(kernel: Kernel) -> None:
    for channels in (*CHANNELS, *((1, 3) if kernel.lanes == 1 else ())):
        u = whole(kernel.rng, (PATCH, PATCH, channels), 99)
        for limits in ((-INF, INF), (-500.0, INF), (0.0, 6.0)):
            give(kernel, u, limits)
        shape = (PATCH, PATCH, channels)
        u = mixed(kernel.rng, shape, 0.0, -0.0, 1e-42, 1e9)
        give(kernel, u, (-INF, INF), exact=False)


@SUITE.each("micro_winograd_output")
@pytest.mark.parametrize("special", [np.nan, INF, -INF])
def test_nan_passes_the_limits(kernel: Kernel, special: float) -> None:
    u = whole(kernel.rng, (PATCH, PATCH, 8))
    u[0, 0, 5] = special  # which enters one pixel alone, with factor 1
    plain = transformed(AFTER, np.nan_to_num(u, nan=0, posinf=0, neginf=0))
    plain[0, 0, 5] = special
    flat, row, column = pitched(plain, 0)
    want = np.where(flat > 6, 6.0, np.where(flat < 0, 0.0, flat))
    want[flat == 3] = 3
    source, step = numbers(u, 0)
    out = Out(np.full(flat.shape, 3, "float32"), want)
    bias = In(np.zeros(8, "float32"))
    kernel.check(In(source), out, bias, row, column, step, 8, 0.0, 6.0)


def test_the_matrices_are_those_of_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(PATCH, PATCH, 1)), rng.normal(size=(3, 3, 1))
    sums = transformed(BEFORE, x) * transformed(WEIGHTS, w)
    direct = sum(
        w[r, s] * x[r : r + TILE, s : s + TILE] for r in range(3) for s in range(3)
    )
    assert np.allclose(direct, transformed(AFTER, sums))
