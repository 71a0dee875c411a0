"""Depthwise convolution of planes with 3 x 3 taps, region by region of the output.

Windows that lie in the image are folded where they are, by a micro-kernel
(toolchain/micro/slide.py), which at stride 2 knows of pads above and to the left.
Windows at other edges make regions of their own, a row high or a register of columns
wide, whose part of the image is copied beside zeros.
"""

from __future__ import annotations

from toolchain.spec import Buffer, Expr, Kernel, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.convolution import Spatial
from toolchain.spec.depthwise import LANES, TAPS, WORD
from toolchain.spec.nest import call, materialized, pointer
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

REGIONS = 5  # above, below, left, right, and the middle
MIDDLE = 4
# What the table holds of a region, in elements: its size; where it begins in the output
# and in its source, and the source's pitch; what is copied into the source: from, to,
# rows (0: nothing is) and columns.
WORDS = (
    *("rows", "columns", "out", "source", "pitch"),
    *("from", "to", "height", "width"),
    *("top", "left"),
)


def suits(target: Target, spatial: Spatial, columns: Expr) -> Expr:
    """Whether `Regions` serves these windows; a condition."""
    y, x = spatial
    return tir.all(
        *(a.taps == TAPS for a in spatial),
        *(a.dilation == 1 for a in spatial),
        *(tir.max(a.begin, a.end) <= 1 for a in spatial),
        *(a.size <= target.tuning("regions.largest") for a in spatial),
        y.stride == x.stride,
        x.stride <= 2,
        columns >= LANES,
    )


class Regions:
    """out[n, m] from channel m // (M / C) of the image, for groups of one channel.

    Made where its buffer may be allocated whether or not it is used.
    """

    def __init__(self, k: Kernel, spatial: Spatial, out: Buffer) -> None:
        self.k, self.out = k, out
        self.y, self.x = spatial
        number = k.target.tuning
        self.narrow, largest = number("regions.narrow"), number("regions.largest")
        high, wide = (tir.min(a.size, largest) + 2 for a in spatial)
        # Rows above and below, columns on both sides; or all of a narrow plane.
        above, beside = TAPS * wide, (self.narrow + 1) * high
        self.buffer = T.alloc_buffer((2 * (above + beside),), "float32")
        self.above, self.beside = materialized(above), materialized(beside)
        self.weights = T.alloc_buffer((1 + TAPS * TAPS, LANES), "float32")
        self.table = T.alloc_buffer((REGIONS, len(WORDS)), "int32")

    def emit(self, ins: list[Buffer]) -> None:
        """Region by region of each plane."""
        self._fill()
        per = tir.truncdiv(self.k.M, self.k.group)
        with T.serial(0, self.k.N) as n, T.serial(0, self.k.M) as m:
            self._touch(ins[0], n, tir.truncdiv(m, per))
            self._broadcast(m, *ins[1:])
            with T.serial(0, self.count) as i:
                region = {w: T.Bind(self.table[i, j]) for j, w in enumerate(WORDS)}
                full = tir.all(region["rows"] > 0, region["columns"] > 0)
                with T.If(full), T.Then():
                    self._fold(ins[0], n, m, tir.truncdiv(m, per), region)

    def _touch(self, image: Buffer, n: Expr, channel: Expr) -> None:
        """Read a plane ahead, row by row, where the image is larger than caches are.

        Registers of columns go down it, each time along a few bytes of every row.
        """
        plane = self.y.size * self.x.size * WORD
        images = self.k.N * self.k.C * plane
        number = self.k.target.tuning
        large = images > number("regions.l2")
        with T.If(tir.all(large, plane >= number("touch.step"))), T.Then():
            source = pointer(image, [n, channel, 0, 0], "r")
            # Of the weights, which come next.
            call(micro.TOUCH(), source, self.weights.access_ptr("w"), plane)

    def _broadcast(self, m: Expr, w: Buffer, b: Buffer) -> None:
        """The bias, then the weights of a feature, each a row of equal elements."""
        with T.vectorized(0, LANES) as v:
            T.buffer_store(self.weights, b[m], [0, v])
        with (
            T.serial(0, TAPS) as r,
            T.serial(0, TAPS) as s,
            T.vectorized(0, LANES) as v,
        ):
            T.buffer_store(self.weights, w[m, 0, r, s], [r * TAPS + s + 1, v])

    def _fill(self) -> None:
        """The table, and the buffer with zeros, of which the pads stay."""
        with T.serial(0, 2 * (self.above + self.beside)) as i:
            T.buffer_store(self.buffer, tir.const(0, "float32"), [i])
        rows, columns = (materialized(size) for size in self.out.shape[2:])
        none, one, some = (self.k.index(n) for n in (0, 1, LANES))
        below, beyond = (
            axis.first(count - 1) + TAPS > axis.size
            for axis, count in ((self.y, rows), (self.x, columns))
        )
        known = materialized(tir.Select(self.x.stride == 2, one, none))
        narrow = tir.all(columns < self.narrow, tir.any(known == 0, below, beyond))
        self.count = materialized(tir.Select(narrow, one, self.k.index(REGIONS)))
        top = materialized(tir.Select(narrow, rows, self.y.begin * (1 - known)))
        bottom = materialized(rows - tir.Select(below, one, none))
        left = materialized(self.x.begin * LANES * (1 - known))
        right = materialized(columns - tir.Select(beyond, some, none))
        with T.serial(0, self.count) as i:
            above, across = i < 2, i == MIDDLE
            r0 = tir.Select(above, i * bottom, top)
            r1 = tir.Select(i == 0, top, tir.Select(i == 1, rows, bottom))
            c0 = tir.Select(i == 3, right, tir.Select(across, left, none))
            c1 = tir.Select(i == 2, left, tir.Select(across, right, columns))
            self._region(i, *map(materialized, (r0, r1 - r0, c0, c1 - c0)))

    def _region(
        self, i: Expr, row: Expr, rows: Expr, column: Expr, columns: Expr
    ) -> None:
        """An entry of the table: where it reads, and what of it is in the image."""
        y, x = self.y, self.x
        high, wide = (materialized((n - 1) * x.stride + TAPS) for n in (rows, columns))
        top, left = materialized(y.first(row)), materialized(x.first(column))
        y0, x0 = materialized(tir.max(top, 0)), materialized(tir.max(left, 0))
        side = 2 * self.above + (i - 2) * self.beside
        place = materialized(tir.Select(i < 2, i * self.above, side))
        copied, none = i != MIDDLE, self.k.index(0)
        words = {
            "rows": rows,
            "columns": columns,
            "out": row * self.out.shape[3] + column,
            "source": tir.Select(copied, place, y0 * x.size + x0),
            "pitch": tir.Select(copied, wide, x.size),
            "from": y0 * x.size + x0,
            "to": place + (y0 - top) * wide + x0 - left,
            "height": tir.Select(copied, tir.min(top + high, y.size) - y0, none),
            "width": tir.min(left + wide, x.size) - x0,
            "top": tir.Select(copied, none, y0 - top),
            "left": tir.Select(copied, none, x0 - left),
        }
        for j, word in enumerate(WORDS):
            T.buffer_store(self.table, words[word], [i, j])

    def _fold(
        self, image: Buffer, n: Expr, m: Expr, channel: Expr, region: Expr
    ) -> None:
        rest = (
            pointer(self.weights, [1, 0], "r"),
            self.weights.access_ptr("r"),
            pointer(self.out, [n, m, 0, region["out"]], "w"),
            region["rows"],
            region["columns"],
            region["pitch"] * WORD,
            *(self.out.shape[3] * WORD, WORD, TAPS * LANES * WORD, LANES * WORD, 0),
        )

        def slide(source: Expr) -> None:
            with T.If(self.x.stride == 1):
                with T.Then():
                    call(micro.SLIDE(1), source, *rest)
                with T.Else():
                    pads = region["top"], region["left"]
                    call(micro.SLIDE("even"), source, *rest, *pads)

        with T.If(region["height"] > 0):
            with T.Then():
                self._copy(image, [n, channel], region)
                slide(self.buffer.access_ptr("r", offset=region["source"]))
            with T.Else():
                slide(pointer(image, [n, channel, 0, region["source"]], "r"))

    def _copy(self, image: Buffer, plane: list[Expr], region: Expr) -> None:
        width, pitch = region["width"], region["pitch"]
        if self.k.target.has("simd128"):
            call(
                micro.COPY(),
                pointer(image, [*plane, 0, region["from"]], "r"),
                self.buffer.access_ptr("w", offset=region["to"]),
                *(self.x.size * WORD, pitch * WORD, region["height"], width * WORD),
            )
            return
        with T.serial(0, region["height"]) as i, T.serial(0, width) as j:
            value = image[(*plane, i, region["from"] + j)]
            T.buffer_store(self.buffer, value, [region["to"] + i * pitch + j])
