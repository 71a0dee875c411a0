"""Loops that only move elements: strided views, and the operators built on them.

Every operator of this kind has a kernel for each width of elements (`SAME_WIDTH`).
"""

from __future__ import annotations

from typing import Any

from toolchain.spec import SAME_WIDTH, Attribute, Input, Operator, Output, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.panels import as_written, call, ceil_div, nest

ALL = ("float32", "int32", "int8", "uint8", "int64", "bool")
# Shorter rows go in tiles: a memory.copy for each takes longer (wasmtime).
SHORT_ROW = 16
# Elements on the side of a tile: 32 lines of 64 bytes stay in L1 while a transpose
# crosses them.
TILE = 32
# Lines this many bytes apart share so few sets of an 8-way L1 that a tile's do not
# stay: it goes through a buffer (1024 x 1024 float32: 10 to 31 GB/s).
CONFLICT = 2048
BUFFERED_TILE = 64
# Elements of a colour image, whose channels are fewer than a register's lanes.
CHANNELS = 3


def view(k: Any) -> Any:
    """out[b * ob + m * om + n] = x[b * sb + m * sm + n * sn], from collapse_view.c.

    Rows of the output that are contiguous in x are copied, those of one element
    are filled, planes that are transposed go in blocks by micro-kernels, and the
    rest in tiles.
    """

    def emit(inputs: list[Any], out: Any) -> None:
        with T.serial(0, k.b) as b:
            _plane(k, inputs[0], out, b * k.sb, b * k.ob)

    return nest((k.extent,), [k.x], emit, k.dtype)


def _plane(k: Any, x: Any, out: Any, first: Any, to: Any) -> None:
    def by_rows(step: int) -> None:
        with T.serial(0, k.m) as m, T.serial(0, k.n) as n:
            T.buffer_store(out, x[first + m * k.sm + n * step], [to + m * k.om + n])

    def by_tiles() -> None:
        with (
            T.serial(0, ceil_div(k.m, TILE)) as mt,
            T.serial(0, ceil_div(k.n, TILE)) as nt,
            T.serial(0, tir.min(k.m - mt * TILE, TILE)) as mi,
            T.serial(0, tir.min(k.n - nt * TILE, TILE)) as ni,
        ):
            m, n = mt * TILE + mi, nt * TILE + ni
            T.buffer_store(out, x[first + m * k.sm + n * k.sn], [to + m * k.om + n])

    ways = [
        (tir.And(k.sn == 1, k.n >= SHORT_ROW), lambda: by_rows(1)),
        (k.sn == 0, lambda: by_rows(0)),
    ]
    if k.target.has("simd128"):
        ways += _transposes(k, x, out, first, to)
    choose(ways, by_tiles)


def _transposes(k: Any, x: Any, out: Any, first: Any, to: Any) -> list[Any]:
    """Ways for planes whose columns are contiguous in x, with their conditions."""
    bits = int("".join(filter(str.isdigit, k.dtype)))
    size, lanes = bits // 8, 128 // bits

    def transpose(
        block: tuple[int, int], source: Any, m: Any, n: Any, *by: Any
    ) -> None:
        target = out.access_ptr("w", offset=to + m * k.om + n)
        name = f"micro_transpose_{bits}_{block[0]}x{block[1]}"
        pitch, *extents = by
        call(name, source, target, pitch * size, k.om * size, *extents)

    def at(m: Any, n: Any) -> Any:
        return x.access_ptr("r", offset=first + m + n * k.sn)

    def by_blocks(rows: int, columns: int) -> None:
        transpose((rows, columns), at(0, 0), 0, 0, k.sn, k.n, k.m)

    def tiles(side: int, body: Any) -> None:
        height, width = tir.min(k.n, side), tir.min(k.m, side)
        with (
            T.serial(0, ceil_div(k.m, side)) as mt,
            T.serial(0, ceil_div(k.n, side)) as nt,
        ):
            m, n = tir.min(mt * side, k.m - width), tir.min(nt * side, k.n - height)
            body(m, n, height, width)

    def directly(m: Any, n: Any, height: Any, width: Any) -> None:
        transpose((lanes, lanes), at(m, n), m, n, k.sn, height, width)

    def buffered() -> None:
        side = BUFFERED_TILE
        buffer = T.alloc_buffer((side, side), k.dtype)

        def tile(m: Any, n: Any, height: Any, width: Any) -> None:
            inner = (k.sn * size, side * size, height, width * size)
            call("micro_copy_rows", at(m, n), buffer.access_ptr("w"), *inner)
            source = buffer.access_ptr("r")
            transpose((lanes, lanes), source, m, n, side, height, width)

        tiles(side, tile)

    def apart(stride: Any) -> Any:
        return (stride & (CONFLICT // size - 1)) == 0

    whole = tir.all(k.sm == 1, k.m >= lanes, k.n >= lanes)
    ways = [
        (tir.And(whole, tir.Or(apart(k.sn), apart(k.om))), buffered),
        (whole, lambda: tiles(TILE, directly)),
    ]
    if lanes > CHANNELS:
        few = (tir.all(k.sm == 1, k.n == CHANNELS, k.m >= lanes), (CHANNELS, lanes))
        many = (tir.all(k.sm == 1, k.m == CHANNELS, k.n >= lanes), (lanes, CHANNELS))
        ways += [(c, lambda block=block: by_blocks(*block)) for c, block in (few, many)]
    return ways


def choose(ways: list[Any], otherwise: Any) -> None:
    """The first way whose condition holds."""
    if not ways:
        otherwise()
        return
    (condition, way), *rest = ways
    with T.If(condition):
        with T.Then():
            way()
        with T.Else():
            choose(rest, otherwise)


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
        sizes=("b", "m", "n", "sb", "sm", "sn", "ob", "om"),
        attributes=attributes,
        dtypes=ALL,
        carriers=SAME_WIDTH,
        kernels="view",
        compute=view,
        schedule=as_written,
        **rest,
    )
