"""Micro-kernels that transpose: blocks in registers, by interleaving.

`micro_transpose_<bits>_<rows>x<columns>` takes a matrix of elements of that width in
blocks of rows x columns; `micro_copy_rows` brings a tile into a buffer. As for the
other micro-kernels (toolchain/microkernel.py), a nest calls them by name.
"""

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir

from toolchain.microkernel import _I8, _I32, _at, _blocks, _function, _i32
from toolchain.spec import SpecError
from toolchain.targets import Target

_TRANSPOSE = r"micro_transpose_(\d+)_(\d+)x(\d+)"
_REGISTER = 16  # bytes


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    del target  # those without SIMD have no use for it
    if match := re.fullmatch(_TRANSPOSE, name):
        _transpose(module, name, *map(int, match.groups()))
    elif name == "micro_copy_rows":
        _copy_rows(module, name)
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_transpose_<bits>_<rows>x<columns> or micro_copy_rows"
        )


def _transpose(module: Any, name: str, bits: int, rows: int, columns: int) -> None:
    """i32 (s, d, from, to, height, width): d[j, i] = s[i, j], pitches in bytes.

    Height and width are at least the block's; where that is narrower than a
    register they are equal to it. The last blocks overlap those before them.
    """
    build, (source, target, pitch, to, height, width) = _begin(module, name)
    size = bits // 8
    vector = ir.VectorType(ir.IntType(bits), _REGISTER // size)

    def block(j: Any, i: Any) -> None:
        at = build.add(build.mul(i, pitch), build.mul(j, _i32(size)))
        line = _at(build, source, at)
        lines = []
        for row in range(rows):
            line = _at(build, line, pitch) if row else line
            lines.append(_load(build, line, vector, columns))
        at = build.add(build.mul(j, to), build.mul(i, _i32(size)))
        line = _at(build, target, at)
        for row, value in enumerate(_transposed(build, lines)[:columns]):
            line = _at(build, line, to) if row else line
            _store(build, value, line, rows)

    _blocks(
        build,
        width,
        columns,
        lambda j: _blocks(build, height, rows, lambda i: block(j, i)),
    )
    build.ret(_i32(0))


def _copy_rows(module: Any, name: str) -> None:
    """i32 (s, d, from, to, height, width): d[i, j] = s[i, j]; all in bytes.

    Width is at least a register. A memory.copy of each row takes longer.
    """
    build, (source, target, pitch, to, height, width) = _begin(module, name)
    vector = ir.VectorType(_I8, _REGISTER)

    def block(i: Any, j: Any) -> None:
        line = _at(build, source, build.add(build.mul(i, pitch), j))
        value = _load(build, line, vector, _REGISTER)
        line = _at(build, target, build.add(build.mul(i, to), j))
        _store(build, value, line, _REGISTER)

    _blocks(
        build,
        height,
        1,
        lambda i: _blocks(build, width, _REGISTER, lambda j: block(i, j)),
    )
    build.ret(_i32(0))


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
