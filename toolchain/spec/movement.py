"""Loops that only move elements: strided views, and the operators built on them.

Every operator of this kind has a kernel for each width of elements (`SAME_WIDTH`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from toolchain.dtypes import DTYPES, NAMES, SAME_WIDTH
from toolchain.spec import (
    Attribute,
    Buffer,
    Expr,
    Input,
    Kernel,
    Operator,
    Output,
    Tensor,
    tir,
)
from toolchain.spec import microkernels as micro
from toolchain.spec.nest import Paths, as_written, call, ceil_div, choose, nest
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

# A colour image has fewer channels than a register has lanes: blocks of its own, for
# elements of float32 (narrower ones would cost 1.8 KB).
CHANNELS, IMAGE_BYTES = 3, 4


def view(k: Kernel) -> Tensor:
    """out[m * om + n] = x[m * sm + n * sn], as collapse_view.c calls it.

    Rows of the output that are contiguous in x are copied, rows of a single element
    are filled, planes that are transposed go in blocks by micro-kernels, and the
    rest element by element, in tiles without SIMD.
    """

    def emit(inputs: list[Buffer], out: Buffer) -> None:
        _plane(k, inputs[0], out)

    return nest((k.extent,), [k.x], emit, k.dtype)


def _plane(k: Kernel, x: Buffer, out: Buffer) -> None:
    def by_rows(step: Expr) -> None:
        with T.serial(0, k.m) as m, T.serial(0, k.n) as n:
            T.buffer_store(out, x[m * k.sm + n * step], [m * k.om + n])

    def by_tiles() -> None:
        tile = k.target.tuning("view.tile")
        with (
            T.serial(0, ceil_div(k.m, tile)) as mt,
            T.serial(0, ceil_div(k.n, tile)) as nt,
            T.serial(0, tir.min(k.m - mt * tile, tile)) as mi,
            T.serial(0, tir.min(k.n - nt * tile, tile)) as ni,
        ):
            m, n = mt * tile + mi, nt * tile + ni
            T.buffer_store(out, x[m * k.sm + n * k.sn], [m * k.om + n])

    short = k.target.tuning("view.short_row")
    contiguous = tir.And(k.sn == 1, k.n >= short)
    paths = [(contiguous, lambda: by_rows(1)), (k.sn == 0, lambda: by_rows(0))]
    if k.target.has("simd128"):
        choose([*paths, *Transposes(k, x, out).paths()], lambda: by_rows(k.sn))
    else:
        choose(paths, by_tiles)


class Transposes:
    """Paths for planes whose columns are contiguous in x, by micro-kernels."""

    def __init__(self, k: Kernel, x: Buffer, out: Buffer) -> None:
        self.k, self.x, self.out = k, x, out
        self.bits = DTYPES[k.dtype].bits
        self.size, self.lanes = self.bits // 8, 128 // self.bits
        self.line = k.target.tuning("view.line") // self.size
        # A block writes a line of the output; of 8-bit elements that would be large.
        self.block = (self.lanes if self.size == 1 else self.line, self.lanes)

    def paths(self) -> Paths:
        """Each path with its condition, the fastest first."""
        k, lanes, line = self.k, self.lanes, self.line
        conflict = k.target.tuning("view.conflict") // self.size
        buffered = k.target.tuning("view.buffered")
        apart = [(stride & (conflict - 1)) == 0 for stride in (k.sn, k.om)]

        def plane(rows: Expr, columns: Expr) -> Expr:
            return tir.all(k.sm == 1, rows, columns)

        paths: list[tuple[Expr, Callable[[], None]]] = [
            (
                tir.all(k.sm == 1, k.m >= buffered, k.n >= line, tir.Or(*apart)),
                self._buffered,
            ),
            (plane(k.m >= lanes, k.n >= line), self._strips),
            (plane(k.m >= lanes, k.n >= lanes), partial(self._whole, lanes, lanes)),
        ]
        if self.size == IMAGE_BYTES:
            few = plane(k.n == CHANNELS, k.m >= lanes)
            many = plane(k.m == CHANNELS, k.n >= lanes)
            paths.append((few, partial(self._whole, CHANNELS, lanes)))
            paths.append((many, partial(self._whole, lanes, CHANNELS)))
        return paths

    def _transpose(
        self,
        block: tuple[int, int],
        source: Expr,
        pitch: Expr,
        at: Expr,
        *extents: Expr,
    ) -> None:
        target = self.out.access_ptr("w", offset=at)
        name = micro.TRANSPOSE(self.bits, *block)
        pitches = pitch * self.size, self.k.om * self.size
        call(name, source, target, *pitches, *extents)

    def _strips(self) -> None:
        """Strips of columns that fill a cache line of each row of the output."""
        k, line = self.k, self.line
        with T.serial(0, ceil_div(k.n, line)) as i:
            n = tir.min(i * line, k.n - line)
            source = self.x.access_ptr("r", offset=n * k.sn)
            self._transpose(self.block, source, k.sn, n, line, k.m)

    def _buffered(self) -> None:
        """Tiles that go through a buffer, as their lines share sets of L1."""
        k, side = self.k, self.k.target.tuning("view.buffered")
        buffer = T.alloc_buffer((side, side), k.dtype)
        height, width = tir.min(k.n, side), side * self.size
        with (
            T.serial(0, ceil_div(k.m, side)) as j,
            T.serial(0, ceil_div(k.n, side)) as i,
        ):
            m = tir.min(j * side, k.m - side)
            n = tir.min(i * side, k.n - height)
            source = self.x.access_ptr("r", offset=m + n * k.sn)
            rows = (k.sn * self.size, width, height, width)
            call(micro.COPY(), source, buffer.access_ptr("w"), *rows)
            tile = buffer.access_ptr("r")
            self._transpose(self.block, tile, side, m * k.om + n, height, side)

    def _whole(self, rows: int, columns: int) -> None:
        """The plane at once, in blocks of some rows and columns."""
        source = self.x.access_ptr("r")
        self._transpose((rows, columns), source, self.k.sn, 0, self.k.n, self.k.m)


def view_operator(
    rule: str,
    attributes: tuple[Attribute, ...],
    outputs: tuple[Output, ...] = (Output(),),
    **rest: Any,
) -> Operator:
    """An operator whose output is a view of its input, by a rule of collapse_view.c."""
    return Operator(
        collapse=f"view.{rule}",
        inputs=(Input("x", "extent"),),
        outputs=outputs,
        sizes=("m", "n", "sm", "sn", "om"),
        attributes=attributes,
        dtypes=NAMES,
        models=("float64",),
        stored_as=SAME_WIDTH,
        kernels="view",
        compute=view,
        schedule=as_written,
        **rest,
    )
