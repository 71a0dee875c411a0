"""out[n, y, x, m] = b[m] + sum_(r, s, c) w[m, c, r, s] * x[n, y + r, x + s, c].

In limits: minimum and maximum. r and s are from 0 to 2, less the pads before; outside
the image x is 0. What conv_packed computes, with a quarter of its multiplications: by
Winograd's F(4 x 4, 3 x 3), whose rounding errors are some ten times as large.
Shapes: x [N, H, W, C]; packed [36 * P, C, 8]: for each of the 36 numbers of a tile
panels of 8 output channels; b [8 * P], or one for all. C is a multiple of 4.
Dtypes: float32.
Edges: where x has an infinity or a NaN, what is NaN is the tile around it. minimum
above maximum gives maximum.
Errors: packed weights that do not fit x; an image that with its pads has no 3 x 3.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from toolchain.spec import (
    Attribute,
    Bound,
    Buffer,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Tensor,
    tir,
)
from toolchain.spec import microkernels as micro
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.convolution import MOST, PADS, PATCH, TILE, Axis, requirements
from toolchain.spec.images import workspace
from toolchain.spec.nest import as_written, call, ceil_div, materialized, nest, pointer
from toolchain.spec.panels import PANEL_WIDTH, Block, MatrixRows, shuffled_panels
from toolchain.spec.product import Product

NUMBERS = PATCH**2
TAPS = 3
# Transforms of an image's tile and of the products, for interpolation at 0, 1, -1, 2,
# -2 and infinity.
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


def compute(k: Kernel) -> Tensor:
    """Groups of tiles: their numbers, 36 products, their pixels."""
    y, x = _axes(k)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        _Convolution(k, ins[0], ins[1], ins[2], out).emit()

    return nest((k.N, y.out(), x.out(), _features(k)), k.inputs, emit, "float32")


def _axes(k: Kernel) -> tuple[Axis, Axis]:
    one, taps = k.index(1), k.index(TAPS)
    y, x = (
        Axis(size, taps, one, k.pads[i], k.pads[i + 2], one)
        for i, size in enumerate((k.H, k.W))
    )
    return y, x


def _features(k: Kernel) -> Expr:
    return tir.truncdiv(k.Q, k.index(NUMBERS)) * PANEL_WIDTH


@dataclass
class _Tiles:
    """Tiles of the result, and the padded image under them, which they fill."""

    down: Expr
    across: Expr

    @staticmethod
    def of(k: Kernel) -> _Tiles:
        down, across = (ceil_div(axis.out(), TILE) for axis in _axes(k))
        return _Tiles(down, across)

    @property
    def rows(self) -> Expr:
        return self.down * TILE + PATCH - TILE

    @property
    def columns(self) -> Expr:
        return self.across * TILE + PATCH - TILE


class _Convolution:
    def __init__(
        self, k: Kernel, x: Buffer, w: Buffer, bias: Buffer, out: Buffer
    ) -> None:
        self.k, self.x, self.w, self.bias, self.out = k, x, w, bias, out
        self.depth, self.features = k.C, _features(k)
        y, self.row = _axes(k)
        self.height, self.width = y.out(), self.row.out()
        tiles = _Tiles.of(k)
        self.tiles = tiles.down * tiles.across
        most, step = (k.target.tuning(f"winograd.{n}") for n in ("block", "step"))
        each = NUMBERS * (self.depth + self.features) * step
        fits = tir.truncdiv(k.index(most), tir.max(each, 1)) * step
        self.group = tir.max(tir.min(tir.max(fits, step), self.tiles), 1)
        self.across, self.rows = tiles.across, tiles.rows
        self.columns = tiles.columns
        self.image = self._buffer(self.rows, self.columns * self.depth)
        self.numbers = self._buffer(NUMBERS * self.group, self.depth)
        self.sums = self._buffer(NUMBERS * self.group, self.features)
        self.cut = self._buffer(TILE**2, self.features)
        self.added = T.alloc_buffer((tir.max(self.features, 1),), "float32")
        self.tile = shuffled_panels(k.target)
        sizes = self.group, self.depth, self.tile.rows, self.tile.broadcast
        self.left = workspace(*sizes)

    @staticmethod
    def _buffer(rows: Expr, columns: Expr) -> Buffer:
        return T.alloc_buffer((rows, tir.max(columns, 1)), "float32")

    def emit(self) -> None:
        """Image by image, group by group."""
        with T.serial(0, self.features) as m:
            T.buffer_store(self.added, self.bias[tir.min(m, self.k.M - 1)], [m])
        tiles, group = materialized(self.tiles), materialized(self.group)
        with T.serial(0, self.k.N) as n:
            self._pad(n)
            with T.serial(0, ceil_div(tiles, group)) as part:
                first = part * group
                valid = materialized(tir.min(tiles - first, group))
                with T.serial(0, valid) as t:
                    self._take(first + t, t)
                with T.serial(0, NUMBERS) as number:
                    self._multiply(number, valid)
                with T.serial(0, valid) as t:
                    self._give(n, first + t, t)

    def _pad(self, n: Expr) -> None:
        """Copy an image, with zeros around it."""
        k, line = self.k, self.k.W * self.depth
        before = k.pads[1] * self.depth
        after = self.columns * self.depth - before - line
        zero = tir.const(0, "float32")
        with T.serial(0, self.rows) as row:
            y = row - k.pads[0]
            with T.If(tir.all(y >= 0, y < k.H)):
                with T.Then():
                    with T.serial(0, before) as i:
                        T.buffer_store(self.image, zero, [row, i])
                    with T.serial(0, line) as i:
                        T.buffer_store(
                            self.image, self.x[n, y, 0, i], [row, before + i]
                        )
                    with T.serial(0, after) as i:
                        T.buffer_store(self.image, zero, [row, before + line + i])
                with T.Else(), T.serial(0, self.columns * self.depth) as i:
                    T.buffer_store(self.image, zero, [row, i])

    def _place(self, tile: Expr) -> tuple[Expr, Expr]:
        """The first pixel of a tile."""
        across = self.across
        return tir.truncdiv(tile, across) * TILE, tir.truncmod(tile, across) * TILE

    def _take(self, tile: Expr, t: Expr) -> None:
        y, x = self._place(tile)
        call(
            micro.WINOGRAD("input"),
            pointer(self.image, [y, x * self.depth], "r"),
            pointer(self.numbers, [t, 0], "w"),
            *(self.columns * self.depth * 4, self.depth * 4),
            *(self.group * self.depth * 4, self.depth),
        )

    def _multiply(self, number: Expr, valid: Expr) -> None:
        first, column = number * self.group, number * self.features
        pack = MatrixRows(self.numbers, self.depth, self.k.target)
        lines = (first, valid, first + valid, 0, self.depth)
        down = Block(self.left, self.tile.rows, *lines)
        pack(down)
        size = self.features
        columns = (column, size, size * NUMBERS, 0, self.depth)
        across = Block(self.w, PANEL_WIDTH, *columns, True)
        Product(
            *(self.tile, valid, self.depth, size, pack, pack, self.sums),
            lambda i, j: [i, j - column],
            size,
        ).by_panels(down, across)

    def _give(self, n: Expr, tile: Expr, t: Expr) -> None:
        pixel = self.features * 4
        y, x = self._place(tile)
        whole = tir.all(y + TILE <= self.height, x + TILE <= self.width)
        with T.If(whole):
            with T.Then():
                row = self.width * pixel
                self._finish(t, pointer(self.out, [n, y, x, 0], "w"), row)
            with T.Else():
                self._finish(t, self.cut.access_ptr("w"), TILE * pixel)
                with (
                    T.serial(0, tir.min(self.height - y, TILE)) as i,
                    T.serial(0, tir.min(self.width - x, TILE)) as j,
                    T.serial(0, self.features) as m,
                ):
                    value = self.cut[i * TILE + j, m]
                    T.buffer_store(self.out, value, [n, y + i, x + j, m])

    def _finish(self, t: Expr, out: Expr, row: Expr) -> None:
        pixel = self.features * 4
        call(
            micro.WINOGRAD("output"),
            *(pointer(self.sums, [t, 0], "r"), out, self.added.access_ptr("r")),
            *(row, pixel, self.group * pixel, self.features),
            *(self.k.minimum, self.k.maximum),
        )


def requires(k: Kernel) -> list[tuple[Expr, str]]:
    """What sizes must fulfil."""
    panels = tir.truncmod(k.Q, k.index(NUMBERS))
    tiles = _Tiles.of(k)
    fits = tir.all(
        tiles.columns * k.C <= MOST // 2,
        tiles.rows * tiles.columns * k.C <= MOST // 2,
    )
    return [
        (k.E == PANEL_WIDTH, "packed must have 8 output channels on its last axis"),
        (panels == 0, "axis 0 of packed must be panels for each of 36 numbers"),
        (k.K == k.C, "axis 1 of packed must be the channels of x"),
        (tir.truncmod(k.C, k.index(4)) == 0, "x must have a multiple of 4 channels"),
        (
            tir.any(k.M == 1, _features(k) == k.M),
            "b must have as many elements as packed has output channels, or one",
        ),
        *requirements(_axes(k)),
        (fits, "the padded image is larger than 2^29 elements; use smaller pads"),
    ]


def reference(
    x: Array,
    packed: Array,
    b: Array,
    pads: Any = (0,) * 4,
    minimum: float = -inf,
    maximum: float = inf,
) -> Array:
    """numpy, tile by tile, in float64."""
    return _transformed(x, packed, b, pads, BEFORE, AFTER).clip(minimum, maximum)


def _transformed(
    x: Array, packed: Array, b: Array, pads: Any, before: Array, after: Array
) -> Array:
    """The result by the transforms, without limits."""
    top, left, bottom, right = pads if np.ndim(pads) else (pads,) * 4
    height, width = (
        size + more - TAPS + 1
        for size, more in zip(x.shape[1:3], (top + bottom, left + right), strict=True)
    )
    down, across = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((len(x), down * TILE + 2, across * TILE + 2, x.shape[3]))
    padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    panels = len(packed) // NUMBERS
    w = packed.reshape(NUMBERS, panels, *packed.shape[1:]).transpose(0, 2, 1, 3)
    w = w.reshape(PATCH, PATCH, packed.shape[1], panels * PANEL_WIDTH).astype("float64")
    out = np.zeros((len(x), down * TILE, across * TILE, w.shape[-1]))
    for i in range(0, down * TILE, TILE):
        for j in range(0, across * TILE, TILE):
            tile = padded[:, i : i + PATCH, j : j + PATCH]
            numbers = np.einsum("pi,nijc,qj->npqc", before, tile, before)
            sums = np.einsum("npqc,pqcm->npqm", numbers, w)
            pixels = np.einsum("ip,npqm,jq->nijm", after, sums, after)
            out[:, i : i + TILE, j : j + TILE] = pixels
    return out[:, :height, :width] + b


def scale(x: Array, packed: Array, b: Array, pads: Any = (0,) * 4, **_: Any) -> Array:
    """Magnitude of what is added up, in the transforms too."""
    x, packed, b = (np.abs(v) for v in (x, packed, b))
    return _transformed(x, packed, b, pads, np.abs(BEFORE), np.abs(AFTER))


# x, features, pads, limits.
CASES: tuple[tuple[tuple[int, ...], int, dict[str, Any]], ...] = (
    ((1, 6, 6, 4), 8, {}),
    ((1, 3, 3, 4), 8, {}),
    ((2, 9, 10, 8), 16, {"pads": (1, 1, 1, 1)}),
    ((1, 13, 7, 16), 24, {"pads": (1, 1, 1, 1), "minimum": 0.0}),
    ((1, 8, 21, 12), 8, {"pads": (2, 0, 1, 3), "maximum": 1.5}),
    ((1, 1, 1, 4), 8, {"pads": (1, 1, 1, 1)}),
    ((3, 30, 31, 4), 8, {"pads": (0, 1, 1, 0), "minimum": -0.5, "maximum": 0.5}),
    ((0, 6, 6, 4), 8, {}),
    ((1, 6, 6, 0), 8, {}),
    ((1, 4, 5, 4), 0, {}),
    ((1, 5, 5, 4), 8, {"pads": (9, 8, 7, 6)}),
)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Sizes, pads and limits."""
    for i, (image, features, given) in enumerate(CASES):
        panels = NUMBERS * features // PANEL_WIDTH
        packed = values(rng, (panels, image[3], PANEL_WIDTH), dtypes[0])
        b = values(rng, ((features,), (1,))[i % 2], dtypes[0])
        tensors = values(rng, image, dtypes[0]), packed, b
        yield Case(f"{i}-{shape_name(image)}", tensors, given)


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "N H W C"), Input("packed", "Q K E"), Input("b", "M")),
    attributes=(
        PADS,
        Attribute("minimum", "float", default=-inf),
        Attribute("maximum", "float", default=inf),
    ),
    units=2,
    dtypes=("float32",),
    requires=requires,
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=4, why="of the magnitudes that the transforms add up"),
)
