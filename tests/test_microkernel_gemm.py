"""Micro-kernels of products: tiles of packed panels."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
from microkernels import (
    In,
    Kernel,
    Out,
    Suite,
    around,
    in_turn,
    integers,
    mixed,
    rounding,
    whole,
)
from ops_wasm32.convert import Array

from toolchain.spec.panels import PANEL_WIDTH

SUITE = Suite(
    simd=(
        "micro_gemm_f32_splat_4x8",
        "micro_gemm_f32_splat_4x8_dense",
        "micro_gemm_f32_splat_4x4",
        "micro_gemm_f32_shuffle_4x8",
        "micro_gemm_f32_load_6x8",
        "micro_gemm_f32_rows_6x8",
        "micro_gemm_f32_rows_6x4",
        "micro_gemm_f32_rows_4x8",
        "micro_gemm_f32_rows_1x24",
        "micro_gemm_f32_rows_1x24_dense",
        "micro_gemm_f32_rows_1x32",
        "micro_gemm_f32_rows_1x32_dense",
        "micro_gemm_f32_rows_1x8_dense",
        "micro_gemm_i32_shuffle_4x8",
        # No kernel asks for these today.
        "micro_gemm_f32_shuffle_8x4",
        "micro_gemm_f32_load_3x16_dense",
        "micro_gemm_i32_splat_2x8",
        "micro_gemm_i32_rows_5x16",
    ),
    scalar=(
        "micro_gemm_f32_load_2x8",
        "micro_gemm_i32_load_2x8",
        # Nor for these.
        "micro_gemm_f32_rows_1x8",
        "micro_gemm_f32_splat_3x4_dense",
    ),
)
DEPTHS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 0)
ZERO, START, AGAIN = 0, 1, 2  # modes
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Tile:
    """What a name says."""

    kind: str
    form: str
    rows: int
    columns: int
    dense: bool

    @classmethod
    def of(cls, name: str) -> Tile:
        match = re.fullmatch(r"micro_gemm_(.32)_(\w+?)_(\d+)x(\d+)(_dense)?", name)
        assert match is not None
        return cls(match[1], match[2], int(match[3]), int(match[4]), bool(match[5]))


class Product:
    """Arguments of a call, and what it is to give."""

    def __init__(self, kernel: Kernel, a: Array, b: Array) -> None:
        self.kernel, self.tile, self.a, self.b = kernel, Tile.of(kernel.name), a, b
        self.rng = kernel.rng
        self.rows, self.depth = a.shape
        self.columns = b.shape[1]

    def left(self) -> tuple[In, int]:
        """Rows with others behind them, or panels whose last one is not full."""
        tile, lanes = self.tile, self.kernel.lanes
        count = -(-self.rows // tile.rows)
        if tile.form == "rows":
            pitch = self.depth + 3
            lines = self._garbage(self.rows * pitch)
            for i, row in enumerate(self.a):
                lines[i * pitch :][: self.depth] = row
            # The last row may end memory.
            return In(lines[: (self.rows - 1) * pitch + self.depth]), pitch * 4
        deep = self.depth + 2
        shape = (count, deep, tile.rows, lanes if tile.form == "splat" else 1)
        panels = self._garbage(int(np.prod(shape))).reshape(shape)
        for i, row in enumerate(self.a):
            panels[i // tile.rows, : self.depth, i % tile.rows] = row[:, None]
        used = panels.reshape(-1)[: panels.size - 2 * panels[0, 0].size]
        return In(used), panels[0].nbytes

    def right(self) -> tuple[In, int, int]:
        """Panels that may be read to their width, packed or of a wider matrix."""
        width = min(self.tile.columns, PANEL_WIDTH)
        count, pitch = -(-self.columns // width), PANEL_WIDTH
        if not self.tile.dense:
            pitch += 5
        deep = self.depth + 2
        panels = self._garbage(count * deep * pitch).reshape(count, deep, pitch)
        for j in range(self.columns):
            panels[j // width, : self.depth, j % width] = self.b[:, j]
        end = panels.size - 3 * pitch + width if self.depth else 0
        return In(panels.reshape(-1)[:end]), panels[0].nbytes, pitch * 4

    def _garbage(self, size: int) -> Array:
        if self.tile.kind == "f32":
            return np.full(size, NAN, "float32")
        return np.full(size, 1 << 30, "int32")

    def start(self, by_row: bool) -> tuple[Array, In, int, int]:
        """What sums start from: a matrix, and the array, of columns or of rows."""
        lanes, shape = self.kernel.lanes, (self.rows, self.columns)
        line = whole(self.rng, shape[not by_row], 99).astype(self.a.dtype)
        if by_row:
            splat = np.repeat(line, lanes)
            return np.broadcast_to(line[:, None], shape), In(splat), lanes * 4, 0
        return np.broadcast_to(line, shape), In(line), 0, lanes * 4

    def check(
        self,
        mode: int,
        by_row: bool = False,
        limits: tuple[float, float] = (-INF, INF),
        exact: bool = True,
    ) -> None:
        """Call it: the result has a pitch, and what stands between rows stays."""
        pitch, floats = self.columns + 3, self.tile.kind == "f32"
        before = whole(self.rng, (self.rows, pitch), 99).astype(self.a.dtype)
        first = np.zeros((self.rows, self.columns), self.a.dtype)
        start, s, s_step, s_vector = self.start(by_row)
        if mode == START:
            first = start
        elif mode == AGAIN:
            first = before[:, : self.columns]
        total, bound = product(self.a, self.b, first, floats)
        if mode != ZERO:
            for past, limit in ((np.less, limits[0]), (np.greater, limits[1])):
                total = np.where(past(total, limit), limit, total) if floats else total
        want = before.astype(total.dtype)
        want[:, : self.columns] = total
        far = np.zeros(want.shape)
        far[:, : self.columns] = 0 if exact else bound
        end = want.size - 3
        out = Out(*(x.reshape(-1)[:end] for x in (before, want)))
        out.bound = far.reshape(-1)[:end]
        (a, a_panel), (b, *b_steps) = self.left(), self.right()
        steps = (a_panel, *b_steps, pitch * 4, s_step, s_vector)
        sizes = (self.depth, self.rows, self.columns)
        last = limits if floats else ()
        self.kernel.check(a, b, out, s, mode, *sizes, *steps, *last)


def product(
    a: Array, b: Array, first: Array, floats: bool
) -> tuple[Array, Array | float]:
    """The product, and how far rounding may be from it."""
    if not floats:
        wrapped = a.astype("uint32") @ b.astype("uint32") + first.astype("uint32")
        return wrapped.astype("int32"), 0
    a, b, first = (x.astype("float64") for x in (a, b, first))
    with np.errstate(invalid="ignore"):
        terms = np.abs(a) @ np.abs(b) + np.abs(first)
        return a @ b + first, (len(b) + 1) * rounding(terms)


def factors(kernel: Kernel, rows: int, depth: int, columns: int) -> Product:
    """Of integers, which are exact in float32 too; of int32 its whole range."""
    shapes = ((rows, depth), (depth, columns))
    if Tile.of(kernel.name).kind == "f32":
        return Product(kernel, *(whole(kernel.rng, shape) for shape in shapes))
    return Product(kernel, *(integers(kernel.rng, shape, "int32") for shape in shapes))


@SUITE.each("micro_gemm")
def test_blocks_of_every_size(kernel: Kernel) -> None:
    tile = Tile.of(kernel.name)
    rows = around(tile.rows, 2 * tile.rows)
    columns = around(4, 8, tile.columns, 2 * tile.columns)
    sizes = [(m, n) for m in rows for n in columns]
    modes = [(m, r) for m in (ZERO, START, AGAIN) for r in (False, True)]
    for (m, n), depth, mode in in_turn(sizes, DEPTHS, (*modes, modes[2])):
        factors(kernel, m, depth, n).check(*mode)


@SUITE.each("micro_gemm")
@pytest.mark.parametrize("mode", [ZERO, START, AGAIN])
def test_depths(kernel: Kernel, mode: int) -> None:
    tile = Tile.of(kernel.name)
    for depth in (*range(20), 257):
        factors(kernel, tile.rows + 1, depth, tile.columns + 3).check(mode)


@SUITE.each("micro_gemm_f32")
def test_limits_and_nan(kernel: Kernel) -> None:
    tile, rng = Tile.of(kernel.name), kernel.rng
    for columns in (tile.columns, tile.columns + 5):
        a, b = whole(rng, (tile.rows + 1, 5)), whole(rng, (5, columns))
        for mode in (ZERO, START, AGAIN):
            Product(kernel, a, b).check(mode, limits=(-20.0, 30.0))
        for special in (NAN, INF, -INF):
            a[0, 3], b[2, 1] = special, special
            for mode in (START, AGAIN):
                Product(kernel, a, b).check(mode, limits=(-20.0, 30.0))


@SUITE.each("micro_gemm_f32")
def test_roundings(kernel: Kernel) -> None:
    tile, rng = Tile.of(kernel.name), kernel.rng
    for depth in (1, 17, 1000):
        a = mixed(rng, (tile.rows, depth), 0.0, -0.0, 1e-42, 1e-30, 1e10)
        b = mixed(rng, (depth, tile.columns + 1), 0.0, -0.0, 1e-42, 1e-30, 1e10)
        Product(kernel, a, b).check(START, exact=False)
