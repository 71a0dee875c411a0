"""Micro-kernels that transpose: blocks in registers, by interleaving.

Names: `micro_transpose_<8|16|32|64>_<rows>x<columns>` takes a matrix of elements of so
many bits in blocks of rows x columns: at most a register's columns, and as many rows or
a multiple; `micro_copy_rows` brings a tile into a buffer. Both with SIMD.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _I8, _I32, _at, _function, _i32, check_name
from toolchain.spec import SpecError
from toolchain.targets import Target

_TRANSPOSE = r"micro_transpose_(8|16|32|64)_(\d+)x(\d+)"
_REGISTER, LINE = 16, 64  # bytes of a register, of a cache line


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    del target  # those without SIMD have no use for it
    if match := re.fullmatch(_TRANSPOSE, name):
        bits, rows, columns = map(int, match.groups())
        lanes = 8 * _REGISTER // bits
        check_name(
            name,
            (0 < columns <= lanes, f"use 1 to {lanes} columns"),
            (
                0 < rows <= lanes or (rows > 0 and rows % lanes == 0),
                f"use 1 to {lanes} rows, or a multiple of {lanes}",
            ),
        )
        _transpose(module, name, bits, rows, columns)
    elif name == "micro_copy_rows":
        _copy_rows(module, name)
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_transpose_<8|16|32|64>_<rows>x<columns> or micro_copy_rows"
        )


def _transpose(module: Any, name: str, bits: int, rows: int, columns: int) -> None:
    """i32 (s, d, from, to, height, width): d[j, i] = s[i, j], pitches in bytes.

    Height and width are at least the block's; where that is narrower than a
    register they are equal to it. The last blocks overlap those before them. Of
    several registers' rows a block is as many squares, one below the other.
    """
    build, (source, target, pitch, to, height, width) = _begin(module, name)
    size = bits // 8
    vector = ir.VectorType(ir.IntType(bits), _REGISTER // size)
    step, side = _i32(size), min(rows, _REGISTER // size)

    def block(line: Any, out: Any) -> None:
        for first in range(0, rows, side):
            lines = []
            for row in range(side):
                line = _at(build, line, pitch) if first + row else line
                lines.append(_load(build, line, vector, columns))
            into = _at(build, out, first * size)
            for row, value in enumerate(_transposed(build, lines)[:columns]):
                into = _at(build, into, to) if row else into
                _store(build, value, into, side)

    def down(line: Any, out: Any) -> None:
        _walk(build, height, rows, ((line, pitch), (out, step)), block)

    _walk(build, width, columns, ((source, step), (target, to)), down)
    build.ret(_i32(0))


def _copy_rows(module: Any, name: str) -> None:
    """i32 (s, d, from, to, height, width): d[i, j] = s[i, j]; all in bytes.

    Width is at least a register. A memory.copy of each row takes longer.
    """
    build, (source, target, pitch, to, height, width) = _begin(module, name)
    vector, one = ir.VectorType(_I8, _REGISTER), _i32(1)

    def row(line: Any, out: Any) -> None:
        def some(size: int) -> None:
            def piece(x: Any, y: Any) -> None:
                places = range(0, size, _REGISTER)
                values = [
                    _load(build, _at(build, x, i), vector, _REGISTER) for i in places
                ]
                for i, value in zip(places, values, strict=True):
                    _store(build, value, _at(build, y, i), _REGISTER)

            _walk(build, width, size, ((line, one), (out, one)), piece)

        wide = build.icmp_signed(">=", width, _i32(LINE))
        with build.if_else(wide) as (then, otherwise):
            with then:
                some(LINE)
            with otherwise:
                some(_REGISTER)

    _walk(build, height, 1, ((source, pitch), (target, to)), row)
    build.ret(_i32(0))


def _walk(
    build: Any,
    count: Any,
    step: int,
    moving: tuple[tuple[Any, Any], ...],
    body: Callable[..., None],
) -> None:
    """body(*pointers) for each `step` of count; the last step ends at count.

    moving: pointers, and their bytes from one to the next. They are kept and moved: to
    multiply for each block anew takes a fifth longer.
    """
    last, before = build.sub(count, _i32(step)), build.block
    head, after = (build.function.append_basic_block(n) for n in ("head", "after"))
    ends = [_at(build, p, build.mul(last, pace)) for p, pace in moving]
    paces = [build.mul(pace, _i32(step)) for _, pace in moving]
    build.branch(head)
    build.position_at_end(head)
    k = build.phi(_I32)
    pointers = [build.phi(p.type) for p, _ in moving]
    for phi, begin in zip(
        (k, *pointers), (_i32(0), *(p for p, _ in moving)), strict=True
    ):
        phi.add_incoming(begin, before)
    body(*pointers)
    following = build.add(k, _i32(step))
    k.add_incoming(following, build.block)
    more = build.icmp_signed("<", following, last)
    for phi, pace, end in zip(pointers, paces, ends, strict=True):
        phi.add_incoming(build.select(more, _at(build, phi, pace), end), build.block)
    build.cbranch(build.icmp_signed("<", following, count), head, after)
    build.position_at_end(after)


def _begin(module: Any, name: str) -> tuple[Any, Any]:
    """A builder in a function of these arguments, and the arguments."""
    sizes = ("from", "to", "height", "width")
    function = _function(module, name, ("s", "d", *sizes))
    for pointer in function.args[:2]:
        pointer.add_attribute("noalias")
    return ir.IRBuilder(function.append_basic_block("entry")), function.args


def _pieces(vector: Any, count: int) -> list[tuple[int, Any, int]]:
    """How `count` elements are moved exactly: offset, type and lane of each part."""
    size = vector.element.width // 8
    if count == vector.count:
        return [(0, vector, 0)]
    found, at = [], 0
    for width in (8, 4, 2, 1):
        if (count * size - at) >= width:
            kind = ir.VectorType(ir.IntType(8 * width), _REGISTER // width)
            found.append((at, kind, at // width))
            at += width
    return found


def _load(build: Any, pointer: Any, vector: Any, count: int) -> Any:
    """A register with the first `count` elements from memory."""
    size = vector.element.width // 8
    value = ir.Constant(vector, None)
    for offset, kind, lane in _pieces(vector, count):
        whole = kind is vector
        part = build.load(
            _at(build, pointer, offset), typ=kind if whole else kind.element
        )
        part.align = size
        if whole:
            return part
        wide = build.bitcast(value, kind)
        value = build.bitcast(build.insert_element(wide, part, _i32(lane)), vector)
    return value


def _store(build: Any, value: Any, pointer: Any, count: int) -> None:
    """The first `count` elements of a register to memory."""
    vector = value.type
    size = vector.element.width // 8
    for offset, kind, lane in _pieces(vector, count):
        if kind is not vector:
            part = build.extract_element(build.bitcast(value, kind), _i32(lane))
        else:
            part = value
        build.store(part, _at(build, pointer, offset), align=size)


def _transposed(build: Any, lines: list[Any]) -> list[Any]:
    """Columns of a square block whose rows are given; those that lack repeat."""
    vector = lines[0].type
    lanes = vector.count
    lines = [lines[min(i, len(lines) - 1)] for i in range(lanes)]

    def interleave(x: Any, y: Any, first: int) -> Any:
        order = [lane + half for lane in range(first, first + lanes // 2)
                 for half in (0, lanes)]  # fmt: skip
        return build.shuffle_vector(
            x, y, ir.Constant(ir.VectorType(_I32, lanes), order)
        )

    for _ in range(lanes.bit_length() - 1):
        pairs = list(zip(lines[: lanes // 2], lines[lanes // 2 :], strict=True))
        lines = [interleave(x, y, f) for x, y in pairs for f in (0, lanes // 2)]
    return lines
