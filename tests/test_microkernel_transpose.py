"""Micro-kernels that transpose, and that copy rows."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
from microkernels import In, Kernel, Out, Suite, around, in_turn, integers
from ops_wasm32.convert import Array

from toolchain.tuning.table import TABLE

REGISTER = 16  # bytes
LINE = TABLE["view.line"].value
SUITE = Suite(
    simd=(
        "micro_transpose_8_16x16",
        *(f"micro_transpose_32_{n}" for n in ("16x4", "4x4", "3x4", "4x3")),
        *(f"micro_transpose_64_{n}" for n in ("8x2", "2x2")),
        # No kernel asks for these today.
        *("micro_transpose_16_8x8", "micro_transpose_16_16x5"),
        *("micro_transpose_8_3x16", "micro_transpose_64_1x1"),
        "micro_copy_rows",
    ),
)
GAPS = (0, 1, 5)


def pitched(matrix: Array, gap: int) -> Array:
    """A matrix in memory, with a gap after each row but the last."""
    wide = np.pad(matrix, ((0, 0), (0, gap)), constant_values=99)
    return wide.reshape(-1)[: wide.size - gap]


@SUITE.each("micro_transpose")
def test_transposing(kernel: Kernel) -> None:
    bits, rows, columns = (int(n) for n in re.findall(r"\d+", kernel.name))
    size, lanes = bits // 8, REGISTER * 8 // bits
    # Of less than a register there is one size alone.
    heights, widths = (
        [n] if n < lanes else around(n, 2 * n, 3 * n + 1, least=n)
        for n in (rows, columns)
    )
    sizes = product(heights, widths)
    for (height, width), before, after in in_turn(sizes, GAPS, (0, 2, 0, 7)):
        x = integers(kernel.rng, (height, width), f"int{bits}")
        first = np.zeros((width, height), x.dtype)
        out = Out(pitched(first, after), pitched(x.T, after))
        pitches = ((width + before) * size, (height + after) * size)
        kernel.check(In(pitched(x, before)), out, *pitches, height, width)


@SUITE.each("micro_copy_rows")
def test_copying(kernel: Kernel) -> None:
    widths = around(REGISTER, 2 * REGISTER, LINE, 2 * LINE, least=REGISTER)
    sizes = product((1, 2, 5), widths)
    for (height, width), before, after in in_turn(sizes, GAPS, (0, 2, 0, 7)):
        x = integers(kernel.rng, (height, width), "int8")
        out = Out(pitched(np.zeros_like(x), after), pitched(x, after))
        pitches = (width + before, width + after)
        kernel.check(In(pitched(x, before)), out, *pitches, height, width)
