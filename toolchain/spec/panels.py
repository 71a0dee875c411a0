"""Matrix products over packed panels: the loop nest around a micro-kernel.

`product` is the one nest of matmul, gemm, matmul_integer and conv: blocks of both
factors are packed into panels, each pair of panels goes through a micro-kernel
(toolchain/microkernel.py), tiles at the edge through a small buffer. How a factor is
packed is the operator's: rows of a matrix, columns of one, or an image's windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolchain.spec import te, tir
from toolchain.spec.lazy import builder as T  # noqa: N812  # TVM's own name for it

# Sizes of the blocks, in units. A block of the left factor (64 x 512 words, 128 KiB)
# stays in L2 while a panel of the right one (512 x 8 words, 16 KiB) stays in L1; the
# right block bounds the workspace to 4 MiB. DESIGN: any depth is as fast (FINDINGS).
ROWS, DEPTH, COLUMNS = 64, 512, 2048
# Rows of a block where the result is not what is accumulated (int8 from int32).
NARROW_ROWS = 512


@dataclass(frozen=True)
class Panels:
    """The tile for a target, and the block of a factor that is packed at a time.

    kind: of the micro-kernel, f32, i32 or dot. rows, columns: of a tile.
    """

    kind: str
    rows: int
    columns: int

    @property
    def dtype(self) -> str:
        """Dtype of a unit of a panel, and of the sums."""
        return "float32" if self.kind == "f32" else "int32"

    @property
    def micro_kernel(self) -> str:
        """Name of the micro-kernel of one tile."""
        return f"micro_gemm_{self.kind}_{self.rows}x{self.columns}"


def panels(kernel: Any, kind: str) -> Panels:
    """The tile that suits a kernel's target."""
    return Panels(kind, *((4, 8) if kernel.target.has("simd128") else (2, 4)))


@dataclass(frozen=True)
class Block:
    """Part of a factor to pack: `lines` rows (columns) from `first`, of `size` in
    all, by `depth` units from `start`; panel p, unit k, line i goes to
    buffer[p, k, i], with `width` lines in a panel.
    """

    buffer: Any
    width: int
    first: Any
    lines: Any
    size: Any
    start: Any
    depth: Any

    def panel_count(self) -> Any:
        """Panels, the last perhaps partly filled."""
        return ceil_div(self.lines, self.width)


def ceil_div(a: Any, b: Any) -> Any:
    """Smallest integer >= a / b, for a >= 0."""
    return tir.floordiv(a + b - 1, b)


Pack = Callable[[Block], None]


def pack_units(load: Callable[[Any, Any], Any]) -> Pack:
    """Pack load(line, unit), line by line; the last line stands in for those past it.

    For lines that are contiguous in memory (the units of one line are not).
    """

    def pack(block: Block) -> None:
        out = block.buffer
        with T.serial(0, block.panel_count()) as p, T.serial(0, block.depth) as k:
            line, unit = block.first + p * block.width, block.start + k
            with T.If(line + block.width <= block.size):
                with T.Then(), T.vectorized(block.width) as i:
                    T.buffer_store(out, load(line + i, unit), [p, k, i])
                with T.Else(), T.serial(0, block.width) as i:
                    inside = tir.min(line + i, block.size - 1)
                    T.buffer_store(out, load(inside, unit), [p, k, i])

    return pack


def pack_lines(source: Any, stride: Any, target: Any) -> Pack:
    """Pack the rows of a matrix with 4-byte elements: units of a row are contiguous.

    stride: elements from one row to the next.
    """
    tile = 4 if target.has("simd128") else 1  # as micro_pack has it

    def pack(block: Block) -> None:
        whole = tir.floordiv(block.width, tile)
        with T.serial(0, block.panel_count()) as p, T.serial(0, whole) as part:
            line = block.first + p * block.width + part * tile
            # The last whole group of rows stands in where rows are missing; with
            # fewer rows than a group, each is packed for itself.
            with T.If(line + tile <= block.size):
                with T.Then():
                    _pack_call(source, stride, block, p, part * tile, line, stride)
                with T.Else(), T.serial(0, tile) as i:
                    row = tir.min(line + i, block.size - 1)
                    _pack_single(source, stride, block, p, part * tile + i, row)

    return pack


def _pack_call(
    source: Any, stride: Any, block: Block, p: Any, i: Any, line: Any, step: Any
) -> None:
    T.evaluate(
        tir.call_extern(
            "int32",
            f"micro_pack_{block.width}",
            source.access_ptr("r", offset=line * stride + block.start),
            pointer(block.buffer, [p, 0, i], "w"),
            step * 4,
            block.depth,
        )
    )


def _pack_single(
    source: Any, stride: Any, block: Block, p: Any, i: Any, row: Any
) -> None:
    with T.serial(0, block.depth) as k:
        value = T.buffer_load_flat(source, row * stride + block.start + k)
        T.buffer_store(block.buffer, value, [p, k, i])


def pointer(buffer: Any, indices: Sequence[Any], mode: str) -> Any:
    """Address of an element."""
    offset: Any = 0
    for index, size in zip(indices, buffer.shape, strict=True):
        offset = offset * size + index
    return buffer.access_ptr(mode, offset=offset)
