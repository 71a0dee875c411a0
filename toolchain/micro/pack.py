"""Micro-kernels that pack rows into panels for products of float32 and int32."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    I32,
    REGISTER,
    WORD,
    Repeat,
    check_name,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
    load_at,
    shuffle,
    splat,
    splat_lane,
    store_at,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import PACK, SPLAT
from toolchain.targets import Target

_FOUR = ir.VectorType(I32, 4)
# some(build, rows, out, k, count): packs `count` columns, 4 or 1, of the rows.
_Some = Callable[[ir.IRBuilder, list[ir.Value], ir.Value, ir.Value, int], None]


@emits(PACK)
def pack(module: ir.Module, name: str, target: Target, height: int, width: int) -> None:
    """i32 (ptr s, ptr d, i32 depth, runs, jump, at1, ...): transpose 1, 2 or 4 rows.

    Depth is not negative, runs are at least 1.
    d[r * depth + k, i] = s[k] of the place at_i + r * jump, for i < height, k < depth
    and r < runs; at_0 is 0, places are in bytes. d has `width` elements in a row.
    """
    del target
    fits = (height <= width, f"a panel of {width} has no {height} rows; use fewer")
    check_name(name, fits)

    def some(
        build: ir.IRBuilder, rows: list[ir.Value], out: ir.Value, k: ir.Value, n: int
    ) -> None:
        out = gep_bytes(build, out, build.mul(k, i32(width * WORD)))
        source = build.mul(k, i32(WORD))
        if n == 4:
            _transpose(build, rows, out, source, width)
            return
        for i, row in enumerate(rows):
            store_at(build, load_at(build, row, source, I32), out, i * WORD)

    _pack_rows(module, name, height, width * WORD, some, by_four=height > 1)


@emits(SPLAT)
def pack_splat(module: ir.Module, name: str, target: Target, height: int) -> None:
    """i32 (ptr s, ptr d, i32 depth, runs, jump, at1, ...): elements over registers.

    As `pack`, with d[r * depth + k, i, 0..4].
    """
    del target
    check_name(name, (height > 0, f"it has no rows; use {SPLAT.shown} with 1 or more"))

    def some(
        build: ir.IRBuilder, rows: list[ir.Value], out: ir.Value, k: ir.Value, n: int
    ) -> None:
        out = gep_bytes(build, out, build.mul(k, i32(height * REGISTER)))
        source = build.mul(k, i32(WORD))
        for i, row in enumerate(rows):
            if n == 4:
                value = load_at(build, row, source, _FOUR)
            else:
                value = load_at(build, row, source, I32)
                value = splat(build, value, _FOUR)
            for u in range(n):
                at = (u * height + i) * REGISTER
                store_at(build, splat_lane(build, value, u), out, at)

    _pack_rows(module, name, height, height * REGISTER, some)


def _pack_rows(
    module: ir.Module,
    name: str,
    height: int,
    size: int,
    some: _Some,
    by_four: bool = True,
) -> None:
    """A function that packs rows. size: bytes of a column in the panel."""
    names = tuple(f"at{i}" for i in range(1, height))
    function = define_function(
        module, name, ("s", "d", "depth", "runs", "jump", *names)
    )
    build = entry_builder(function)
    source, target, depth, runs, jump, *places = function.args
    moving = {"s": (source, jump), "d": (target, build.mul(depth, i32(size)))}
    run = Repeat(build, runs, 1, moving)
    rows = [run.at["s"], *(gep_bytes(build, run.at["s"], at) for at in places)]

    def body(count: int, begin: ir.Value) -> Callable[[ir.Value], None]:
        return lambda k: some(build, rows, run.at["d"], build.add(begin, k), count)

    begin, left = i32(0), depth
    if by_four:
        # Of less than 4 LLVM knows that there is nothing to vectorise.
        begin, left = build.and_(depth, i32(-4)), build.and_(depth, i32(3))
        for_range(build, i32(0), begin, 4, body(4, i32(0)))
    for_range(build, i32(0), left, 1, body(1, begin))
    run.close()
    build.ret(i32(0))


def _transpose(
    build: ir.IRBuilder,
    rows: list[ir.Value],
    out: ir.Value,
    source: ir.Value,
    width: int,
) -> None:
    """4 x 4 elements, by two levels of interleaving; 2 x 4, by a single level."""
    loaded = [load_at(build, row, source, _FOUR) for row in rows]
    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    if len(rows) == 2:
        x, y = loaded
        columns = [shuffle(build, x, y, (i, 4 + i)) for i in range(4)]
    else:
        r0, r1, r2, r3 = loaded
        a, b = (shuffle(build, r0, r2, order) for order in (low, high))
        c, d = (shuffle(build, r1, r3, order) for order in (low, high))
        columns = [shuffle(build, a, c, order) for order in (low, high)]
        columns += [shuffle(build, b, d, order) for order in (low, high)]
    for i, column in enumerate(columns):
        store_at(build, column, out, i * width * WORD)
