"""Micro-kernels of products of 8-bit integers: packing by rows and columns, a tile.

A panel's unit is a word of two int16, consecutive in k; a dot step multiplies the
pairs and adds up in int32, exactly. Rows are packed already broadcast, a register for
each word: a shuffle in the tile would compete with multiplications for their pipes.

Both packings take the sum of two sources, x + other * y with other in -1, 0, 1, and a
tile adds its sums to two places alike: that is what Strassen's products need (see
toolchain/spec/eight_bit.py). A source is read as uint8 ^ sign, sign being 128 for int8:
differences from a zero point, read so too, are the same for both dtypes.

Names: `micro_dot_<rows|columns|tile>_<rows>x<columns>`, what packs for a tile and the
tile, whose columns are a power of two and fill registers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import (
    _at,
    _filled,
    _function,
    _i32,
    _load,
    _loop,
    _store,
    check_name,
)
from toolchain.spec import SpecError
from toolchain.spec.eight_bit import CHUNK
from toolchain.targets import Target

_I8, _I16, _I32, _PTR = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.PointerType()
_WORD = 4
UNROLL = 4  # steps between two updates of the pointers
_GROUP = 8  # octets that become one register of int16


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(r"micro_dot_(rows|columns|tile)_(\d+)x(\d+)", name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_dot_<rows|columns|tile>_<rows>x<columns>"
        )
    part, rows, columns = match[1], int(match[2]), int(match[3])
    lanes = 4 if target.has("simd128") else 1
    check_name(
        name,
        (rows > 0, "it has no rows; use 1 or more"),
        (
            columns >= max(lanes, 2) and columns & (columns - 1) == 0,
            f"columns must be a power of two; use {max(lanes, 2)} or more",
        ),
    )
    if part == "rows":
        _rows(module, name, rows, lanes)
    elif part == "columns":
        _columns(module, name, columns)
    else:
        _Tile(module, name, rows, columns, lanes).emit()


def _splat(build: Any, value: Any, kind: Any) -> Any:
    """An int32 in each lane of a vector of narrower integers."""
    if not isinstance(kind, ir.VectorType):
        return build.trunc(value, kind) if kind != _I32 else value
    scalar = value if kind.element == _I32 else build.trunc(value, kind.element)
    return _filled(build, scalar, kind)


def _room(build: Any, size: int) -> Any:
    """Bytes on the stack."""
    room = build.alloca(ir.ArrayType(_I8, size))
    room.align = 16
    room.type = _PTR  # llvmlite gives it a pointer type with an element
    return room


def _walk(
    function: Any,
    build: Any,
    count: Any,
    pointers: list[Any],
    steps: list[Any],
    body: Callable[[list[Any]], None],
) -> list[Any]:
    """Emit body(pointers) for each two of count, with steps in bytes; the last ones."""
    before = build.block
    head, inside, after = (
        function.append_basic_block(name) for name in ("head", "inside", "after")
    )
    build.branch(head)
    build.position_at_end(head)
    left = build.phi(_I32)
    left.add_incoming(count, before)
    phis = [build.phi(_PTR) for _ in pointers]
    build.cbranch(build.icmp_signed(">", left, _i32(0)), inside, after)
    build.position_at_end(inside)
    body(phis)
    left.add_incoming(build.sub(left, _i32(2)), build.block)
    for phi, pointer, step in zip(phis, pointers, steps, strict=True):
        phi.add_incoming(pointer, before)
        phi.add_incoming(_at(build, phi, step), build.block)
    build.branch(head)
    build.position_at_end(after)
    return phis


class _Sources:
    """x + other * y of octets of two sources, as int32 or int16; other None: x."""

    def __init__(self, build: Any, sign: Any, other: Any) -> None:
        self.build, self.sign, self.other = build, sign, other

    def _wide(self, pointer: Any, offset: Any, kind: Any) -> Any:
        narrow = _I8
        if isinstance(kind, ir.VectorType):
            narrow = ir.VectorType(_I8, kind.count)
        value = self.build.load(_at(self.build, pointer, offset), typ=narrow)
        value.align = 1
        wide = self.build.zext(value, kind)
        return self.build.xor(wide, _splat(self.build, self.sign, kind))

    def load(self, x: Any, y: Any, offset: Any, kind: Any) -> Any:
        """The sum of what stands at an offset (bytes) from x and from y."""
        build = self.build
        if self.other is None:
            return self._wide(x, offset, kind)
        factor = _splat(build, self.other, kind)
        second = build.mul(self._wide(y, offset, kind), factor)
        return build.add(self._wide(x, offset, kind), second)


def _rows(module: Any, name: str, lines: int, lanes: int) -> None:
    """i32 (ptr s, t, y, z, d, stride, depth, valid, sign, other).

    d[k, i] = words of s[i', 2 k] + other * t[i', 2 k] minus the zero points y[i'] and
    z[i'], i' = min(i, valid - 1); each word fills a register. stride: bytes from one
    row of s (t) to the next, depth: octets.
    """
    names = ("s", "t", "y", "z", "d", "stride", "depth", "valid", "sign", "other")
    function = _function(module, name, names)
    build = ir.IRBuilder(function.append_basic_block("entry"))
    s, t, y, z, out, stride, depth, valid, sign, other = function.args
    sources = _Sources(build, sign, other)
    step = lanes * _WORD  # bytes of a word

    def line(i: Any) -> None:
        last = build.sub(valid, _i32(1))
        row = build.select(build.icmp_signed("<", i, last), i, last)
        first, second = (_at(build, p, build.mul(row, stride)) for p in (s, t))
        zero = sources.load(_at(build, y, row), _at(build, z, row), 0, _I32)
        to = _at(build, out, build.mul(i, _i32(step)))

        def at(k: Any) -> Any:
            return _at(build, to, build.mul(k, _i32(lines * step // 2)))

        def group(k: Any) -> None:
            kind = ir.VectorType(_I16, _GROUP)
            value = sources.load(first, second, k, kind)
            value = build.sub(value, _splat(build, zero, kind))
            words = build.bitcast(value, ir.VectorType(_I32, 4))
            target = at(k)
            for j in range(4):
                mask = ir.Constant(ir.VectorType(_I32, 4), [j] * 4)
                word = build.shuffle_vector(words, words, mask)
                _store(build, word, target, j * lines * step)

        def pair(k: Any) -> None:
            following = build.add(k, _i32(1))
            more = build.icmp_signed("<", following, depth)
            following = build.select(more, following, k)
            low = build.sub(sources.load(first, second, k, _I32), zero)
            high = build.sub(sources.load(first, second, following, _I32), zero)
            high = build.shl(build.select(more, high, _i32(0)), _i32(16))
            word = build.or_(build.and_(low, _i32(0xFFFF)), high)
            kind = _I32 if lanes == 1 else ir.VectorType(_I32, lanes)
            _store(build, _splat(build, word, kind), at(k), 0)

        start = _i32(0)
        if lanes > 1:
            whole = build.and_(depth, _i32(-_GROUP))
            start = _loop(function, build, start, whole, _GROUP, group)
        _loop(function, build, start, depth, 2, pair)

    _loop(function, build, _i32(0), _i32(lines), 1, line)
    build.ret(_i32(0))


def _columns(module: Any, name: str, lines: int) -> None:
    """i32 (ptr s, t, y, z, d, stride, depth, valid, sign, other): the same for columns.

    stride: bytes from one k to the next, where columns lie side by side; depth: at
    most CHUNK. There is one source only where valid < columns.
    """
    names = ("s", "t", "y", "z", "d", "stride", "depth", "valid", "sign", "other")
    function = _function(module, name, names)
    build = ir.IRBuilder(function.append_basic_block("entry"))
    s, t, y, z, out, stride, depth, valid, sign, other = function.args
    room = _room(build, (CHUNK + 1) * lines)
    narrow = function.append_basic_block("narrow")
    ready = function.append_basic_block("ready")
    before = build.block
    build.cbranch(build.icmp_signed("<", valid, _i32(lines)), narrow, ready)
    build.position_at_end(narrow)

    def copy(i: Any) -> None:
        k = build.sub(build.lshr(i, _i32(lines.bit_length() - 1)), _i32(1))
        last = build.sub(valid, _i32(1))
        column = build.and_(i, _i32(lines - 1))
        inside = build.icmp_signed("<", column, last)
        column = build.select(inside, column, last)
        point = build.icmp_signed("<", k, _i32(0))
        offset = build.select(point, _i32(0), build.mul(k, stride))
        line = _at(build, build.select(point, y, s), offset)
        octet = build.load(_at(build, line, column), typ=_I8)
        build.store(octet, _at(build, room, i), align=1)

    end = build.mul(build.add(depth, _i32(1)), _i32(lines))
    _loop(function, build, _i32(0), end, 1, copy)
    values, after = _at(build, room, lines), build.block
    build.branch(ready)
    build.position_at_end(ready)
    merged = []
    for wide, padded in zip(
        (s, t, y, z, stride),
        (values, values, room, room, _i32(lines)),
        strict=True,
    ):
        phi = build.phi(wide.type)
        phi.add_incoming(wide, before)
        phi.add_incoming(padded, after)
        merged.append(phi)
    s, t, y, z, stride = merged
    kind = ir.VectorType(_I16, lines)
    order = [i // 2 + lines * (i % 2) for i in range(2 * lines)]
    mask = ir.Constant(ir.VectorType(_I32, 2 * lines), order)

    def pack(second: Any) -> None:
        sources = _Sources(build, sign, second)
        zeros = sources.load(y, z, 0, kind)

        def half(x: Any, y: Any) -> Any:
            return build.sub(sources.load(x, y, 0, kind), zeros)

        def put(low: Any, high: Any, to: Any) -> None:
            _store(build, build.shuffle_vector(low, high, mask), to, 0)

        def pair(at: list[Any]) -> None:
            *rows, to = at
            put(half(*rows), half(*(_at(build, row, stride) for row in rows)), to)

        whole = build.and_(depth, _i32(-2))
        steps = [build.mul(stride, _i32(2))] * 2 + [_i32(2 * lines * 2)]
        *rows, to = _walk(function, build, whole, [s, t, out], steps, pair)
        with build.if_then(build.icmp_signed("!=", whole, depth)):
            put(half(*rows), ir.Constant(kind, None), to)
        build.ret(_i32(0))

    single, double = (
        function.append_basic_block(name) for name in ("single", "double")
    )
    build.cbranch(build.icmp_signed("==", other, _i32(0)), single, double)
    for block, second in ((single, None), (double, other)):
        build.position_at_end(block)
        pack(second)


class _Tile:
    """i32 (ptr a, b, c, e, depth, stride, other, kept, height, width).

    c[i, j] += sum, e[i, j] += other * sum, sum = sum_k a[k, i] . b[k, j]: a and b are
    packed panels of `depth` > 0 words, stride is the bytes from one row of c to the
    next, and of e. c has height rows and width columns, or more; where it has fewer
    than the tile, other is 0. kept: 1 where c has sums already, 2 where e has, 3 where
    both have; else they count as 0. other: 1, 0, or -1, for which e has sums.
    """

    def __init__(
        self, module: Any, name: str, rows: int, columns: int, lanes: int
    ) -> None:
        self.rows, self.columns, self.lanes = rows, columns, lanes
        self.vectors = columns // lanes
        self.unit = _I32 if lanes == 1 else ir.VectorType(_I32, lanes)
        names = (*"abce", "depth", "stride", "other", "kept", "height", "width")
        self.function = _function(module, name, names)
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """Loop over k, with an exit after each step, then add the sums up."""
        build, entry = self.builder, self.builder.block
        a, b, c, e, depth, stride, other, kept, height, width = self.function.args
        loop = self.function.append_basic_block("loop")
        done = self.function.append_basic_block("done")
        count = self.rows * self.vectors
        build.branch(loop)
        build.position_at_end(loop)
        phis = [build.phi(kind) for kind in (_PTR, _PTR, _I32)]
        sums = [build.phi(self.unit) for _ in range(count)]
        zero = ir.Constant(self.unit, None)
        state: list[Any] = [a, b, depth, *[zero] * count]
        for phi, value in zip((*phis, *sums), state, strict=True):
            phi.add_incoming(value, entry)
        state, left, exits = list(sums), phis[2], []
        for step in range(UNROLL):
            state = self._step(phis[0], phis[1], step, state)
            left = build.sub(left, _i32(1))
            finished = build.icmp_signed("==", left, _i32(0))
            following = loop
            if step == UNROLL - 1:
                ends = [
                    _at(build, phis[0], UNROLL * self.rows * self.lanes * _WORD),
                    _at(build, phis[1], UNROLL * self.columns * _WORD),
                    left,
                    *state,
                ]
                for phi, value in zip((*phis, *sums), ends, strict=True):
                    phi.add_incoming(value, build.block)
            else:
                following = self.function.append_basic_block("step")
            exits.append((build.block, state))
            build.cbranch(finished, done, following)
            build.position_at_end(following)
        build.position_at_end(done)
        totals = [build.phi(self.unit) for _ in range(count)]
        for block, values in exits:
            for phi, value in zip(totals, values, strict=True):
                phi.add_incoming(value, block)
        full, part = (
            self.function.append_basic_block(name) for name in ("full", "part")
        )
        less = build.or_(
            build.icmp_signed("<", height, _i32(self.rows)),
            build.icmp_signed("<", width, _i32(self.columns)),
        )
        build.cbranch(less, part, full)
        build.position_at_end(part)
        self._add_part(totals)
        build.position_at_end(full)
        with self._choice(build.and_(kept, _i32(1))) as (old, new):
            with new:
                self._place(c, stride, totals)
            with old:
                self._place(c, stride, totals, build.add)
        with build.if_then(build.icmp_signed("<", other, _i32(0))):
            self._place(e, stride, totals, build.sub)
        with (
            build.if_then(build.icmp_signed(">", other, _i32(0))),
            self._choice(build.and_(kept, _i32(2))) as (old, new),
        ):
            with new:
                self._place(e, stride, totals)
            with old:
                self._place(e, stride, totals, build.add)
        build.ret(_i32(0))

    def _choice(self, condition: Any) -> Any:
        return self.builder.if_else(self.builder.icmp_signed("!=", condition, _i32(0)))

    def _step(self, a: Any, b: Any, step: int, sums: list[Any]) -> list[Any]:
        build = self.builder
        columns = [
            _load(build, b, (step * self.columns + v * self.lanes) * _WORD, self.unit)
            for v in range(self.vectors)
        ]
        result = []
        for row in range(self.rows):
            at = (step * self.rows + row) * self.lanes * _WORD
            factor = _load(build, a, at, self.unit)
            for v, column in enumerate(columns):
                total = sums[row * self.vectors + v]
                result.append(build.add(total, self._dot(factor, column)))
        return result

    def _dot(self, x: Any, y: Any) -> Any:
        build = self.builder
        if self.lanes == 1:
            shift = _i32(16)
            low = [build.sext(build.trunc(v, _I16), _I32) for v in (x, y)]
            high = [build.ashr(v, shift) for v in (x, y)]
            return build.add(build.mul(*low), build.mul(*high))
        pairs = ir.VectorType(_I16, 8)
        name = "llvm.wasm.dot"
        signature = ir.FunctionType(self.unit, [pairs, pairs])
        dot = build.module.globals.get(name) or ir.Function(
            build.module, signature, name
        )
        return build.call(dot, [build.bitcast(v, pairs) for v in (x, y)])

    def _place(
        self,
        row: Any,
        stride: Any,
        sums: list[Any],
        onto: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        """Store the sums, or what `onto` makes of what stands there and them.

        Each way has its code: operations that choose would take 4 % of the products'.
        """
        build = self.builder
        for i, total in enumerate(sums):
            line, v = divmod(i, self.vectors)
            if line and not v:
                row = _at(build, row, stride)
            offset = v * self.lanes * _WORD
            if onto:
                total = onto(_load(build, row, offset, self.unit), total)
            _store(build, total, row, offset)

    def _add_part(self, sums: list[Any]) -> None:
        build, function = self.builder, self.function
        *_, c, _, _, stride, _, kept, height, width = function.args
        with build.goto_entry_block():
            room = _room(build, self.rows * self.columns * _WORD)
        for i, total in enumerate(sums):
            _store(build, total, room, i * self.lanes * _WORD)
        most = _i32(self.rows)
        lines = build.select(build.icmp_signed("<", height, most), height, most)
        shift = _i32(self.columns.bit_length() - 1)
        mask = build.sub(_i32(0), build.and_(kept, _i32(1)))

        def element(i: Any) -> None:
            column = build.and_(i, _i32(self.columns - 1))
            row = _at(build, c, build.mul(build.lshr(i, shift), stride))
            with build.if_then(build.icmp_signed("<", column, width)):
                at = build.mul(column, _i32(_WORD))
                total = _load(build, room, build.mul(i, _i32(_WORD)), _I32)
                before = build.and_(_load(build, row, at, _I32), mask)
                _store(build, build.add(before, total), row, at)

        _loop(function, build, _i32(0), build.shl(lines, shift), 1, element)
        build.ret(_i32(0))
