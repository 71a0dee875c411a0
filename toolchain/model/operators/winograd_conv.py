"""out[n, y, x, m] = b[m] + sum_(r, s, c) w[m, c, r, s] * x[n, y + r, x + s, c].

In limits: minimum and maximum. r and s are from 0 to 2, less the pads before; outside
the image x is 0. What conv_packed computes, with a quarter of its multiplications: by
Winograd's F(4 x 4, 3 x 3), whose rounding errors are some ten times as large.
Shapes: x [N, H, W, C]; w [36 * P, C, 8]: for each of the 36 numbers of a tile panels of
8 output channels; b [8 * P]. C and M are multiples of 4, M of 8.
Dtypes: float32.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from math import inf
from typing import Any

from toolchain.spec import Attribute, Bound, Input, Operator, tir
from toolchain.spec import microkernels as micro
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.convolution import PATCH, TILE
from toolchain.spec.images import workspace
from toolchain.spec.nest import as_written, call, ceil_div, nest, pointer
from toolchain.spec.panels import PANEL_WIDTH, Block, MatrixRows, shuffled_panels
from toolchain.spec.product import Product

NUMBERS = PATCH**2


def compute(k: Any) -> Any:
    """Groups of tiles: their numbers, 36 products, their pixels."""

    def emit(ins: Any, out: Any) -> None:
        x, w, bias = ins
        _Convolution(k, x, w, bias, out).emit()

    return nest((k.N, k.OY, k.OX, k.M), k.inputs, emit, "float32")


class _Convolution:
    def __init__(self, k: Any, x: Any, w: Any, bias: Any, out: Any) -> None:
        self.k, self.x, self.w, self.bias, self.out = k, x, w, bias, out
        self.depth, self.features = int(k.C), int(k.M)
        self.down, self.across = -(-int(k.OY) // TILE), -(-int(k.OX) // TILE)
        self.tiles = self.down * self.across
        most, step = (k.target.tuning(f"winograd.{n}") for n in ("block", "step"))
        fits = most // (NUMBERS * (self.depth + self.features)) // step * step
        self.group = min(max(fits, step), self.tiles)
        self.rows = self.down * TILE + PATCH - TILE
        self.columns = self.across * TILE + PATCH - TILE
        self.image = self._buffer(self.rows, self.columns * self.depth)
        self.numbers = self._buffer(NUMBERS * self.group, self.depth)
        self.sums = self._buffer(NUMBERS * self.group, self.features)
        self.cut = self._buffer(TILE**2, self.features)
        self.tile = shuffled_panels(k.target)
        sizes = self.group, self.depth, self.tile.rows, self.tile.broadcast
        self.left = workspace(*sizes)

    @staticmethod
    def _buffer(rows: int, columns: int) -> Any:
        return T.alloc_buffer((rows, columns), "float32")

    def emit(self) -> None:
        """Image by image, group by group."""
        with T.serial(0, self.k.N) as n:
            self._pad(n)
            with T.serial(0, ceil_div(self.tiles, self.group)) as part:
                first = part * self.group
                valid = tir.min(self.tiles - first, self.group)
                with T.serial(0, valid) as t:
                    self._take(first + t, t)
                with T.serial(0, NUMBERS) as number:
                    self._multiply(number, valid)
                with T.serial(0, valid) as t:
                    self._give(n, first + t, t)

    def _pad(self, n: Any) -> None:
        k, line = self.k, int(self.k.W) * self.depth
        before = int(k.pads_1) * self.depth
        after = self.columns * self.depth - before - line
        zero = tir.const(0, "float32")
        with T.serial(0, self.rows) as row:
            y = row - k.pads_0
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

    def _place(self, tile: Any) -> tuple[Any, Any]:
        """The first pixel of a tile."""
        across = self.across
        return tir.truncdiv(tile, across) * TILE, tir.truncmod(tile, across) * TILE

    def _take(self, tile: Any, t: Any) -> None:
        y, x = self._place(tile)
        call(
            micro.WINOGRAD("input"),
            pointer(self.image, [y, x * self.depth], "r"),
            pointer(self.numbers, [t, 0], "w"),
            *(self.columns * self.depth * 4, self.depth * 4),
            *(self.group * self.depth * 4, self.depth),
        )

    def _multiply(self, number: Any, valid: Any) -> None:
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

    def _give(self, n: Any, tile: Any, t: Any) -> None:
        k, pixel = self.k, self.features * 4
        y, x = self._place(tile)
        whole = tir.all(y + TILE <= k.OY, x + TILE <= k.OX)
        with T.If(whole):
            with T.Then():
                self._finish(t, pointer(self.out, [n, y, x, 0], "w"), k.OX * pixel)
            with T.Else():
                self._finish(t, self.cut.access_ptr("w"), TILE * pixel)
                with (
                    T.serial(0, tir.min(k.OY - y, TILE)) as i,
                    T.serial(0, tir.min(k.OX - x, TILE)) as j,
                    T.serial(0, self.features) as m,
                ):
                    value = self.cut[i * TILE + j, m]
                    T.buffer_store(self.out, value, [n, y + i, x + j, m])

    def _finish(self, t: Any, out: Any, row: Any) -> None:
        pixel = self.features * 4
        call(
            micro.WINOGRAD("output"),
            *(pointer(self.sums, [t, 0], "r"), out, self.bias.access_ptr("r")),
            *(row, pixel, self.group * pixel, self.features),
            *(self.k.minimum, self.k.maximum),
        )


def reference(x: Any, w: Any, b: Any, **_: Any) -> Any:
    """Models verify it: an operator of its own it is not."""
    raise NotImplementedError


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "N H W C"), Input("w", "Q D E"), Input("b", "B")),
    attributes=(
        Attribute("minimum", "float", default=-inf),
        Attribute("maximum", "float", default=inf),
    ),
    dtypes=("float32",),
    sizes=("M", "OY", "OX", "pads_0", "pads_1"),
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=lambda dtypes, rng: (),
    bound=Bound(why="models verify it, by a bound that follows from their depth"),
)
