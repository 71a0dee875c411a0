"""Micro-kernels of products of 8-bit integers: packing, and the tile."""

from __future__ import annotations

import re

import numpy as np
import pytest
from microkernels import In, Kernel, Out, Suite, around, in_turn, integers
from ops_wasm32.convert import Array

from toolchain.spec.eight_bit import CHUNK

SUITE = Suite(
    simd=("micro_dot_rows_4x8", "micro_dot_columns_4x8", "micro_dot_tile_4x8"),
    scalar=(
        *("micro_dot_rows_2x4", "micro_dot_columns_2x4", "micro_dot_tile_2x4"),
        *("micro_dot_rows_2x8", "micro_dot_tile_2x8"),
    ),
)
SIGNS = (0, 128)  # of uint8, of int8
OTHERS = (0, 1, -1)
GAP = 3  # bytes or elements between one row and the next


def tile_of(kernel: Kernel) -> tuple[int, int]:
    rows, columns = re.findall(r"\d+", kernel.name)
    return int(rows), int(columns)


def differences(x: Array, zero: Array, sign: int) -> Array:
    """8-bit integers without their zero point, as a product takes them."""
    dtype = "int8" if sign else "uint8"
    return np.asarray(x.view(dtype).astype("int64") - zero.view(dtype))


def words(pairs: Array) -> Array:
    """Pairs of int16 along the last axis as int32; after an odd one comes 0."""
    odd = np.zeros((*pairs.shape[:-1], pairs.shape[-1] % 2), "int64")
    even = np.ascontiguousarray(np.concatenate([pairs, odd], -1), "int16")
    return even.view("int32")


def pitched(matrix: Array, gap: int) -> Array:
    """A matrix in memory, with a gap after each row but the last."""
    rows, columns = matrix.shape
    wide = np.full((rows, columns + gap), 77, matrix.dtype)
    wide[:, :columns] = matrix
    return wide.reshape(-1)[: wide.size - gap]


@SUITE.each("micro_dot_rows")
@pytest.mark.parametrize("sign", SIGNS)
def test_packing_rows(kernel: Kernel, sign: int) -> None:
    count, rng = tile_of(kernel)[0], kernel.rng
    depths = (0, 1, 2, 3, *around(8, 16), 33)
    cases = [(d, v) for d in depths for v in range(1, count + 2)]
    for (depth, valid), other in in_turn(cases, OTHERS):
        rows = min(valid, count)
        x, y = (integers(rng, (rows, depth), "uint8") for _ in range(2))
        zeros = [integers(rng, rows, "uint8") for _ in range(2)]
        total = differences(x, zeros[0][:, None], sign)
        total = total + other * differences(y, zeros[1][:, None], sign)
        packed = words(total)[np.minimum(np.arange(count), rows - 1)]
        splat = np.repeat(packed.T[:, :, None], kernel.lanes, axis=2)
        out = Out(integers(rng, splat.shape, "int32"), splat)
        sources = (In(pitched(x, GAP)), In(pitched(y, GAP)), *map(In, zeros))
        kernel.check(*sources, out, depth + GAP, depth, valid, sign, other)


@SUITE.each("micro_dot_columns")
@pytest.mark.parametrize("sign", SIGNS)
def test_packing_columns(kernel: Kernel, sign: int) -> None:
    count, rng = tile_of(kernel)[1], kernel.rng
    depths = (0, 1, 2, 3, 4, 7, CHUNK - 1, CHUNK)
    cases = [(d, v, 0) for d in depths for v in range(1, count)]
    cases += [(d, v, o) for d in depths for v in (count, count + 1) for o in OTHERS]
    for depth, valid, other in cases:
        columns = min(valid, count)
        x, y = (integers(rng, (depth, columns), "uint8") for _ in range(2))
        zeros = [integers(rng, columns, "uint8") for _ in range(2)]
        total = differences(x, zeros[0], sign)
        total = total + other * differences(y, zeros[1], sign)
        packed = words(total.T)[np.minimum(np.arange(count), columns - 1)].T
        out = Out(integers(rng, packed.shape, "int32"), packed)
        sources = (In(pitched(x, GAP)), In(pitched(y, GAP)), *map(In, zeros))
        kernel.check(*sources, out, columns + GAP, depth, valid, sign, other)


def dots(kernel: Kernel, depth: int) -> tuple[In, In, Array]:
    """Packed panels of the whole range of int16, and their product."""
    (rows, columns), rng = tile_of(kernel), kernel.rng
    a = integers(rng, (rows, 2 * depth), "int16")
    b = integers(rng, (columns, 2 * depth), "int16")
    a[:, -1], b[:, -1] = -(1 << 15), -(1 << 15)
    left = np.repeat(words(a).T[:, :, None], kernel.lanes, axis=2)
    return In(left), In(words(b).T), a.astype("int64") @ b.T.astype("int64")


@SUITE.each("micro_dot_tile")
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, 257])
def test_tile(kernel: Kernel, depth: int) -> None:
    (rows, columns), rng = tile_of(kernel), kernel.rng
    a, b, total = dots(kernel, depth)
    pitch = columns + GAP
    modes = [(k, o) for k in range(4) for o in OTHERS if o >= 0 or k >= 2]
    for kept, other in modes:
        outs = []
        for bit, factor in ((1, 1), (2, other)):
            before = integers(rng, (rows, columns), "int32")
            first = before if kept & bit or factor < 0 else 0
            want = (first + factor * total).astype("int32") if factor else before
            outs.append(Out(pitched(before, GAP), pitched(want, GAP)))
        more = (pitch * 4, other, kept)
        kernel.check(a, b, *outs, depth, *more, rows + kept, columns + 1)


@SUITE.each("micro_dot_tile")
def test_tiles_that_are_cut(kernel: Kernel) -> None:
    (rows, columns), rng = tile_of(kernel), kernel.rng
    sizes = [(h, w) for h in range(1, rows + 2) for w in range(1, columns + 2)]
    for (height, width), depth, kept in in_turn(sizes, (1, 3, 6), (0, 1, 3, 2, 1)):
        a, b, total = dots(kernel, depth)
        some = total[:height, :width]
        before = integers(rng, some.shape, "int32")
        want = ((before if kept & 1 else 0) + some).astype("int32")
        c = Out(pitched(before, GAP), pitched(want, GAP))
        more = (depth, (some.shape[1] + GAP) * 4, 0, kept, height, width)
        kernel.check(a, b, c, In(np.zeros(0, "int32")), *more)
