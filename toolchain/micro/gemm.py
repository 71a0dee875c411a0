"""Micro-kernels of products of float32 and int32: a tile's block of the result.

Tile after tile of the block, tiles at its edges too; the sums are computed in
`gemm_sums` and stored in `gemm_store`.
"""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    WORD,
    Repeat,
    alloca,
    check_name,
    define_function,
    entry_builder,
    gep_bytes,
    i32,
)
from toolchain.micro.gemm_store import Store
from toolchain.micro.gemm_sums import Sums
from toolchain.micro.registry import emits
from toolchain.micro.tile import Tile
from toolchain.spec.microkernels import GEMM
from toolchain.spec.panels import PANEL_WIDTH
from toolchain.targets import Target

ARGUMENTS = (
    *("a", "b", "c", "s", "mode", "depth", "rows", "columns"),
    *("a_panel", "b_panel", "b_step", "c_step", "s_step", "s_vector"),
)
_FROM_ZERO, _FROM_OUT = 0, 2  # modes


@emits(GEMM)
def gemm(
    module: ir.Module,
    name: str,
    target: Target,
    kind: str,
    form: str,
    rows: int,
    columns: int,
    dense: bool,
) -> None:
    """i32 (ptr a, b, c, s, i32 mode, depth, ..., float low, high).

    c[i, j] = min(max(s[i, j] + sum_k a[i, k] * b[k, j], low), high) for a block of
    `rows` by `columns`, any numbers from 1: tile after tile, tiles at its edges too.
    a: packed panels, a_panel bytes apart, [depth][tile.rows]; or rows that far apart.
    b: panels b_panel bytes apart, of rows b_step bytes apart, that may be read to the
    tile's width.
    c: rows c_step bytes apart. mode: 0: from zero, without s, low and high; 1: from s;
    2: from c, for s. s lies s_step bytes from a row to the next and s_vector from one
    vector of columns to the next (a bias of the columns: 0 and 16; values splat over
    vectors for each row: 16 and 0). low and high are for f32 alone; a NaN passes them.
    Depth 0 gives s.
    """
    tile = Tile(kind, form, rows, columns, target, dense)
    check_name(name, *tile.rules())
    limits = ("low", "high") if kind == "f32" else ()
    function = define_function(module, name, (*ARGUMENTS, *limits))
    _Gemm(function, tile).emit()


class _Gemm:
    def __init__(self, function: ir.Function, tile: Tile) -> None:
        self.tile = tile
        self.builder = entry_builder(function)
        self.argument: dict[str, ir.Value] = {a.name: a for a in function.args}

    def emit(self) -> None:
        """The tiles of a panel of b, one below the other; then the next panel."""
        given, tile, build = self.argument, self.tile, self.builder
        again = build.icmp_signed("==", given["mode"], i32(_FROM_OUT))
        vector = i32(tile.bytes)
        given |= {
            "s": build.select(again, given["c"], given["s"]),
            "s_step": build.select(again, given["c_step"], given["s_step"]),
            "s_vector": build.select(again, vector, given["s_vector"]),
        }
        plain = build.icmp_signed("==", given["mode"], i32(_FROM_ZERO))
        # What is left of the depth is never negative; LLVM does not know.
        beyond = build.sub(given["mode"], i32(8))
        # Where a tile that the block cuts lies until what is valid is taken out.
        cut = alloca(build, ir.ArrayType(tile.register, tile.rows * tile.vectors))
        down, across = self._loops()
        sums = Sums(build, tile, given, beyond).emit(
            self._left(down), self._panels(across)
        )
        Store(build, tile, given, plain, cut).emit(sums, down.left, across)
        across.close()
        down.close()
        build.ret(i32(0))

    def _loops(self) -> tuple[Repeat, Repeat]:
        """Loops over the tiles' rows and, inside, over their columns."""
        given, tile = self.argument, self.tile
        moving = {
            "a": (given["a"], self._times(given["a_panel"], tile.left_pointers)),
            "c": (given["c"], self._times(given["c_step"], tile.rows)),
            "s": (given["s"], self._times(given["s_step"], tile.rows)),
        }
        down = Repeat(self.builder, given["rows"], tile.rows, moving)
        moving = {
            "b": (given["b"], self._times(given["b_panel"], tile.panels)),
            "c": (down.at["c"], i32(tile.columns * WORD)),
            "s": (down.at["s"], self._times(given["s_vector"], tile.vectors)),
        }
        return down, Repeat(self.builder, given["columns"], tile.columns, moving)

    def _times(self, value: ir.Value, factor: int) -> ir.Value:
        return self.builder.mul(value, i32(factor))

    def _panels(self, across: Repeat) -> list[ir.Value]:
        """Where the tile's panels of b are; the last stands in for panels past it."""
        return self._neighbours(across, "b", self.tile.panels, PANEL_WIDTH)

    def _left(self, down: Repeat) -> list[ir.Value]:
        """Where the left panel is, or its rows; the last stands in for rows past it."""
        return self._neighbours(down, "a", self.tile.left_pointers, 1)

    def _neighbours(
        self, loop: Repeat, factor: str, count: int, size: int
    ) -> list[ir.Value]:
        """Pointers to `count` panels of a factor, each of `size` of what is left."""
        build, found = self.builder, [loop.at[factor]]
        for i in range(1, count):
            inside = build.icmp_signed(">", loop.left, i32(i * size))
            following = gep_bytes(build, found[-1], self.argument[f"{factor}_panel"])
            found.append(build.select(inside, following, found[-1]))
        return found
