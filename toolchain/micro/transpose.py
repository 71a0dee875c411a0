"""Micro-kernels that transpose: blocks in registers, by interleaving.

A block has at most a register's columns, and as many rows or a multiple. All need SIMD.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    I8,
    I32,
    REGISTER,
    add_incoming,
    check_name,
    define_function,
    entry_builder,
    gep_bytes,
    i32,
    new_blocks,
    shuffle,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import COPY, TRANSPOSE
from toolchain.targets import Target


@emits(TRANSPOSE)
def transpose(
    module: ir.Module, name: str, target: Target, bits: int, rows: int, columns: int
) -> None:
    """i32 (s, d, from, to, height, width): d[j, i] = s[i, j], pitches in bytes.

    Height and width are at least the block's; where that is narrower than a
    register they are equal to it. The last blocks overlap those before them. Of
    several registers' rows a block is as many squares, one below the other.
    """
    del target  # without SIMD there is no use for it
    lanes = 8 * REGISTER // bits
    check_name(
        name,
        (0 < columns <= lanes, f"use 1 to {lanes} columns"),
        (
            0 < rows <= lanes or (rows > 0 and rows % lanes == 0),
            f"use 1 to {lanes} rows, or a multiple of {lanes}",
        ),
    )
    build, (source, out_first, pitch, to, height, width) = _begin(module, name)
    size = bits // 8
    vector = ir.VectorType(ir.IntType(bits), REGISTER // size)
    step, side = i32(size), min(rows, REGISTER // size)

    def block(at: ir.Value, out: ir.Value) -> None:
        for first in range(0, rows, side):
            loaded = []
            for row in range(side):
                at = gep_bytes(build, at, pitch) if first + row else at
                loaded.append(_load(build, at, vector, columns))
            into = gep_bytes(build, out, first * size)
            for row, value in enumerate(_transposed(build, loaded)[:columns]):
                into = gep_bytes(build, into, to) if row else into
                _store(build, value, into, side)

    def down(at: ir.Value, out: ir.Value) -> None:
        _walk(build, height, rows, ((at, pitch), (out, step)), block)

    _walk(build, width, columns, ((source, step), (out_first, to)), down)
    build.ret(i32(0))


@emits(COPY)
def copy_rows(module: ir.Module, name: str, target: Target) -> None:
    """i32 (s, d, from, to, height, width): d[i, j] = s[i, j]; all in bytes.

    Width is at least a register. A memory.copy of each row takes longer.
    """
    line = target.tuning("view.line")
    build, (source, out_first, pitch, to, height, width) = _begin(module, name)
    vector, one = ir.VectorType(I8, REGISTER), i32(1)

    def row(at: ir.Value, out: ir.Value) -> None:
        def some(size: int) -> None:
            def piece(x: ir.Value, y: ir.Value) -> None:
                places = range(0, size, REGISTER)
                values = [
                    _load(build, gep_bytes(build, x, i), vector, REGISTER)
                    for i in places
                ]
                for i, value in zip(places, values, strict=True):
                    _store(build, value, gep_bytes(build, y, i), REGISTER)

            _walk(build, width, size, ((at, one), (out, one)), piece)

        wide = build.icmp_signed(">=", width, i32(line))
        with build.if_else(wide) as (then, otherwise):
            with then:
                some(line)
            with otherwise:
                some(REGISTER)

    _walk(build, height, 1, ((source, pitch), (out_first, to)), row)
    build.ret(i32(0))


def _walk(
    build: ir.IRBuilder,
    count: ir.Value,
    step: int,
    moving: tuple[tuple[ir.Value, ir.Value], ...],
    body: Callable[..., None],
) -> None:
    """body(*pointers) for each `step` of count; the last step ends at count.

    moving: pointers, and their bytes from one to the next. They are kept and moved: to
    multiply for each block anew takes a fifth longer.
    """
    last, before = build.sub(count, i32(step)), build.block
    head, after = new_blocks(build, "head", "after")
    ends = [gep_bytes(build, p, build.mul(last, pace)) for p, pace in moving]
    paces = [build.mul(pace, i32(step)) for _, pace in moving]
    build.branch(head)
    build.position_at_end(head)
    k = build.phi(I32)
    pointers = [build.phi(p.type) for p, _ in moving]
    add_incoming((k, *pointers), (i32(0), *(p for p, _ in moving)), before)
    body(*pointers)
    following = build.add(k, i32(step))
    k.add_incoming(following, build.block)
    more = build.icmp_signed("<", following, last)
    for phi, pace, end in zip(pointers, paces, ends, strict=True):
        phi.add_incoming(
            build.select(more, gep_bytes(build, phi, pace), end), build.block
        )
    build.cbranch(build.icmp_signed("<", following, count), head, after)
    build.position_at_end(after)


def _begin(module: ir.Module, name: str) -> tuple[ir.IRBuilder, list[ir.Value]]:
    """A builder in a function of these arguments, and the arguments."""
    sizes = ("from", "to", "height", "width")
    function = define_function(module, name, ("s", "d", *sizes))
    for pointer in function.args[:2]:
        pointer.add_attribute("noalias")
    return entry_builder(function), function.args


def _pieces(vector: ir.Type, count: int) -> list[tuple[int, ir.Type, int]]:
    """How `count` elements are moved exactly: offset, type and lane of each part."""
    size = vector.element.width // 8
    if count == vector.count:
        return [(0, vector, 0)]
    found, at = [], 0
    for width in (8, 4, 2, 1):
        if (count * size - at) >= width:
            kind = ir.VectorType(ir.IntType(8 * width), REGISTER // width)
            found.append((at, kind, at // width))
            at += width
    return found


def _load(
    build: ir.IRBuilder, pointer: ir.Value, vector: ir.Type, count: int
) -> ir.Value:
    """A register with the first `count` elements from memory."""
    size = vector.element.width // 8
    value = ir.Constant(vector, None)
    for offset, kind, lane in _pieces(vector, count):
        whole = kind is vector
        part = build.load(
            gep_bytes(build, pointer, offset), typ=kind if whole else kind.element
        )
        part.align = size
        if whole:
            return part
        wide = build.bitcast(value, kind)
        value = build.bitcast(build.insert_element(wide, part, i32(lane)), vector)
    return value


def _store(build: ir.IRBuilder, value: ir.Value, pointer: ir.Value, count: int) -> None:
    """The first `count` elements of a register to memory."""
    vector = value.type
    size = vector.element.width // 8
    for offset, kind, lane in _pieces(vector, count):
        if kind is not vector:
            part = build.extract_element(build.bitcast(value, kind), i32(lane))
        else:
            part = value
        build.store(part, gep_bytes(build, pointer, offset), align=size)


def _transposed(build: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Columns of a square block whose rows are given; missing rows are repeats."""
    vector = rows[0].type
    lanes = vector.count
    rows = [rows[min(i, len(rows) - 1)] for i in range(lanes)]

    def interleave(x: ir.Value, y: ir.Value, first: int) -> ir.Value:
        order = [lane + half for lane in range(first, first + lanes // 2)
                 for half in (0, lanes)]  # fmt: skip
        return shuffle(build, x, y, order)

    for _ in range(lanes.bit_length() - 1):
        pairs = list(zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True))
        rows = [interleave(x, y, f) for x, y in pairs for f in (0, lanes // 2)]
    return rows
