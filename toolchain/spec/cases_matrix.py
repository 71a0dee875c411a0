"""Cases of matrix products: sizes about the tiles and blocks, batches, 1-D operands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Case
from toolchain.spec.cases import shape_name, values

# rows, depth, columns: 0, 1, about tiles of 4 and 8, about the blocks of
# toolchain/spec/panels.py (64 x 512 x 2048), primes.
PRODUCTS: tuple[tuple[int, int, int], ...] = (
    *((0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 1, 1), (1, 7, 1)),
    *((2, 3, 4), (3, 3, 3), (4, 4, 8), (5, 5, 9), (7, 8, 7), (8, 16, 16)),
    *((9, 17, 17), (17, 1, 31), (31, 37, 1), (64, 64, 64), (65, 129, 71)),
    *((1, 513, 40), (6, 1031, 9), (67, 512, 8), (3, 5, 2049), (513, 2, 11)),
    (
        267,
        275,
        281,
    ),  # quadrants of toolchain/spec/eight_bit.py, and what they leave over
)
BATCHES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5,), (5,)),
    ((5,), (5, 7)),
    ((7, 5), (5,)),
    ((0,), (0,)),
    ((5,), (3, 5, 7)),
    ((2, 3, 5), (5,)),
    ((2, 3, 5), (5, 7)),
    ((3, 5), (2, 5, 7)),
    ((2, 1, 3, 5), (1, 4, 5, 7)),
    ((3, 1, 5), (1, 5, 7)),
    ((0, 3, 5), (1, 5, 7)),
    ((2, 0, 5), (2, 5, 3)),
    ((2, 1, 3, 1, 2, 1, 9, 5), (3, 3, 1, 1, 5, 9)),
)


def shapes() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Shapes of two factors."""
    for m, k, n in PRODUCTS:
        yield (m, k), (k, n)
    yield from BATCHES


def matrices(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    """Every pair of shapes; what NaN, infinity and the ends of a dtype come to."""
    dtype = dtypes[0]
    for left, right in shapes():
        pair = (values(rng, left, dtype), values(rng, right, dtype))
        yield Case(f"{shape_name(left)}-{shape_name(right)}", pair)
    if dtype == "float32":
        a, b = values(rng, (9, 13), dtype), values(rng, (13, 17), dtype)
        a[2, 3], a[5, 0], b[4, 16], b[12, 0] = np.nan, np.inf, -np.inf, 0
        yield Case("special", (a, b))
        tiny = np.full((5, 4), 1e-40, np.float32)
        yield Case("denormal", (tiny, np.ones((4, 9), np.float32)))
    else:
        low = np.full((5, 1030), np.iinfo(dtype).min, dtype)
        yield Case("lowest", (low, low.T.copy()))
