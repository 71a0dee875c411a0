"""Micro-kernels that fold windows: tiles of depthwise convolution."""

from __future__ import annotations

import re

import numpy as np
from microkernels import (
    At,
    In,
    Kernel,
    Out,
    Suite,
    in_turn,
    mixed,
    rounding,
    whole,
)
from ops_wasm32.convert import Array

SUITE = Suite(simd=("micro_fold_4x8",), scalar=("micro_fold_4x2",))
GAP = 5


class Tiles:
    """Tiles at places p, each of rows by columns, and where they lie."""

    def __init__(
        self, taps: int, rows: int, columns: int, places: tuple[int, int], steps: Array
    ) -> None:
        self.taps, self.rows, self.columns = taps, rows, columns
        (self.count, self.size), self.steps = places, steps
        last = self.count - self.size
        self.tiles = sorted({min(p, last) for p in range(0, self.count, self.size)})

    def at(self, row: int, step: int) -> Array:
        """Places of a tile's elements, by p, row, column."""
        p, r, j = np.ix_(self.tiles, range(self.rows), range(self.columns))
        return np.asarray(p * step + r * row + j)

    def check(self, kernel: Kernel, exact: bool) -> None:
        """Taps anywhere, in any order."""
        rng = kernel.rng
        x_row, o_row, x_step, o_step = (int(s) for s in self.steps)
        inside = self.at(x_row, x_step)
        taps = rng.integers(-30, 30, self.taps)
        places = rng.permutation(self.taps + 2)[: self.taps] * (self.columns + 1)
        first = int(taps.min())
        size = int(inside.max() + taps.max()) - first + 1
        weights = int(places.max()) + self.columns
        if exact:
            x, w, b = (whole(rng, n) for n in (size, weights, self.columns))
        else:
            x, w, b = (mixed(rng, n, 1e9) for n in (size, weights, self.columns))
        values = x[inside + (taps - first)[:, None, None, None]].astype("float64")
        at = places[:, None, None, None] + np.arange(self.columns)
        factors = w[at].astype("float64")
        outside = self.at(o_row, o_step)
        before = whole(rng, outside.max() + 1)
        want, bound = before.astype("float64"), np.zeros(before.shape)
        want[outside] = b + (values * factors).sum(0)
        terms = np.abs(b) + np.abs(values * factors).sum(0)
        bound[outside] = 0 if exact else (self.taps + 1) * rounding(terms)
        table = np.stack([taps, places], 1).astype("int32") * 4
        out = Out(before, want, bound=bound)
        sizes = (self.taps, self.rows, self.count, self.size)
        source = At(In(x), -first)
        kernel.check(source, In(w), In(b), In(table), out, *sizes, *self.steps * 4)


def test_every_tile_is_checked() -> None:
    tiles = Tiles(1, 1, 1, (7, 3), np.array((0, 0, 1, 1)))
    assert [0, 3, 4] == tiles.tiles


@SUITE.each()
def test_tiles(kernel: Kernel) -> None:
    most, columns = (int(n) for n in re.findall(r"\d+", kernel.name))
    # Planes: p are columns, in tiles of as many as the tile has. Pixels: p are pixels,
    # in tiles of rows, channels lie in columns.
    for rows in range(1, most + 1):
        counts = (columns, columns + 1, 2 * columns - 1, 2 * columns, 29)
        for count, taps in in_turn(counts, (1, 2, 9, 25)):
            row = 2 * count + GAP
            steps = np.array((row, count + GAP, 1, 1))
            Tiles(taps, rows, columns, (count, columns), steps).check(kernel, True)
        counts = (rows, rows + 1, 2 * rows, 2 * rows + 1, 13)
        for count, taps in in_turn(counts, (9, 1, 3, 6)):
            steps = np.array((2 * columns, columns + 1) * 2)
            Tiles(taps, rows, columns, (count, rows), steps).check(kernel, True)


@SUITE.each()
def test_roundings(kernel: Kernel) -> None:
    most, columns = (int(n) for n in re.findall(r"\d+", kernel.name))
    steps = np.array((50, 60, 1, 1))
    for taps in (1, 9, 200):
        Tiles(taps, most, columns, (41, columns), steps).check(kernel, False)
    for special in (np.nan, np.inf, -np.inf):
        x, w = whole(kernel.rng, (most, columns)), np.ones(columns, "float32")
        x[most - 1, columns - 1] = special
        arrays = (In(x), In(w), In(0 * w), In(np.zeros(2, "int32")))
        out = Out(np.zeros_like(x), x)
        row = 4 * columns
        kernel.check(*arrays, out, 1, most, 1, 1, row, row, 4, 4)
