"""Loops that only move elements: strided views, and the operators built on them.

Every operator of this kind has a kernel for each width of elements (`SAME_WIDTH`).
"""

from __future__ import annotations

from typing import Any

from toolchain.spec import DTYPES, SAME_WIDTH, Attribute, Input, Operator, Output, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.nest import as_written, call, ceil_div, choose, nest
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it

# Shorter rows go in tiles: a memory.copy for each takes longer (wasmtime).
SHORT_ROW = 16
# Elements on the side of a tile, without SIMD: 32 lines of 64 bytes stay in L1 while a
# transpose crosses them.
TILE = 32
# Bytes of a cache line: so many of each row of the output are written at once.
LINE = 64
# Lines this many bytes apart share so few sets of an 8-way L1 that they do not stay:
# tiles of so many go through a buffer (1024 x 1024 float32: 10 to 31 GB/s).
CONFLICT, BUFFERED = 2048, 64
# A colour image has fewer channels than a register has lanes: blocks of its own, for
# elements of float32 (narrower ones would cost 1.8 KB).
CHANNELS, IMAGE_BYTES = 3, 4


def view(k: Any) -> Any:
    """out[m * om + n] = x[m * sm + n * sn], as collapse_view.c calls it.

    Rows of the output that are contiguous in x are copied, those of one element
    are filled, planes that are transposed go in blocks by micro-kernels, and the
    rest element by element, in tiles without SIMD.
    """

    def emit(inputs: list[Any], out: Any) -> None:
        _plane(k, inputs[0], out)

    return nest((k.extent,), [k.x], emit, k.dtype)


def _plane(k: Any, x: Any, out: Any) -> None:
    def by_rows(step: Any) -> None:
        with T.serial(0, k.m) as m, T.serial(0, k.n) as n:
            T.buffer_store(out, x[m * k.sm + n * step], [m * k.om + n])

    def by_tiles() -> None:
        with (
            T.serial(0, ceil_div(k.m, TILE)) as mt,
            T.serial(0, ceil_div(k.n, TILE)) as nt,
            T.serial(0, tir.min(k.m - mt * TILE, TILE)) as mi,
            T.serial(0, tir.min(k.n - nt * TILE, TILE)) as ni,
        ):
            m, n = mt * TILE + mi, nt * TILE + ni
            T.buffer_store(out, x[m * k.sm + n * k.sn], [m * k.om + n])

    contiguous = tir.And(k.sn == 1, k.n >= SHORT_ROW)
    paths = [(contiguous, lambda: by_rows(1)), (k.sn == 0, lambda: by_rows(0))]
    if k.target.has("simd128"):
        paths += _transposes(k, x, out)
        choose(paths, lambda: by_rows(k.sn))
    else:
        choose(paths, by_tiles)


def _transposes(k: Any, x: Any, out: Any) -> list[Any]:
    """Ways for planes whose columns are contiguous in x, with their conditions."""
    bits = int("".join(filter(str.isdigit, k.dtype)))
    size, lanes = bits // 8, 128 // bits

    def transpose(
        block: tuple[int, int], source: Any, pitch: Any, at: Any, *extents: Any
    ) -> None:
        target = out.access_ptr("w", offset=at)
        name = micro.TRANSPOSE(bits, *block)
        call(name, source, target, pitch * size, k.om * size, *extents)

    line = LINE // size
    # Blocks of 8-bit elements are large; of others as many as write a line are one.
    block = (lanes if size == 1 else line, lanes)

    def strips() -> None:
        """Of rows that fill a line of each row of the output."""
        with T.serial(0, ceil_div(k.n, line)) as i:
            n = tir.min(i * line, k.n - line)
            source = x.access_ptr("r", offset=n * k.sn)
            transpose(block, source, k.sn, n, line, k.m)

    def buffered() -> None:
        buffer = T.alloc_buffer((BUFFERED, BUFFERED), k.dtype)
        height = tir.min(k.n, BUFFERED)
        with (
            T.serial(0, ceil_div(k.m, BUFFERED)) as j,
            T.serial(0, ceil_div(k.n, BUFFERED)) as i,
        ):
            m = tir.min(j * BUFFERED, k.m - BUFFERED)
            n = tir.min(i * BUFFERED, k.n - height)
            source = x.access_ptr("r", offset=m + n * k.sn)
            width = BUFFERED * size
            rows = (k.sn * size, width, height, width)
            call(micro.COPY(), source, buffer.access_ptr("w"), *rows)
            tile = buffer.access_ptr("r")
            transpose(block, tile, BUFFERED, m * k.om + n, height, BUFFERED)

    def few() -> None:
        transpose((lanes, lanes), x.access_ptr("r"), k.sn, 0, k.n, k.m)

    apart = [(stride & (CONFLICT // size - 1)) == 0 for stride in (k.sn, k.om)]

    def plane(rows: int, columns: int) -> None:
        source = x.access_ptr("r")
        transpose((rows, columns), source, k.sn, 0, k.n, k.m)

    paths = [
        (
            tir.all(k.sm == 1, k.m >= BUFFERED, k.n >= line, tir.Or(*apart)),
            buffered,
        ),
        (tir.all(k.sm == 1, k.m >= lanes, k.n >= line), strips),
        (tir.all(k.sm == 1, k.m >= lanes, k.n >= lanes), few),
    ]
    if size == IMAGE_BYTES:
        few = tir.all(k.sm == 1, k.n == CHANNELS, k.m >= lanes)
        many = tir.all(k.sm == 1, k.m == CHANNELS, k.n >= lanes)
        paths.append((few, lambda: plane(CHANNELS, lanes)))
        paths.append((many, lambda: plane(lanes, CHANNELS)))
    return paths


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
        dtypes=DTYPES,
        stored_as=SAME_WIDTH,
        kernels="view",
        compute=view,
        schedule=as_written,
        **rest,
    )
