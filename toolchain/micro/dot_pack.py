"""What packs rows and columns of 8-bit integers for a tile of their product.

A source is read as uint8 ^ sign, sign being 128 for int8: differences from a zero
point, read so too, are the same for both dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from toolchain.micro.builder import (
    I8,
    I16,
    I32,
    PTR,
    WORD,
    alloca,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
    new_blocks,
    phi_of,
    select_signed,
    shuffle,
    splat,
    store_at,
    vector,
)
from toolchain.spec.eight_bit import CHUNK

ARGUMENTS = ("s", "t", "y", "z", "d", "stride", "depth", "valid", "sign", "other")
_GROUP = 8  # 8-bit elements that become one register of int16
_At = Callable[[ir.Value], ir.Value]


def _splat_narrow(build: ir.IRBuilder, value: ir.Value, kind: ir.Type) -> ir.Value:
    """An int32 in each lane of a vector of narrower integers."""
    if not isinstance(kind, ir.VectorType):
        return build.trunc(value, kind) if kind != I32 else value
    scalar = value if kind.element == I32 else build.trunc(value, kind.element)
    return splat(build, scalar, kind)


def stack_bytes(build: ir.IRBuilder, size: int) -> ir.Value:
    """Bytes on the stack."""
    place = alloca(build, ir.ArrayType(I8, size))
    place.align = 16
    return place


def _in_pairs(
    build: ir.IRBuilder,
    count: ir.Value,
    pointers: list[ir.Value],
    steps: list[ir.Value],
    body: Callable[[list[ir.Value]], None],
) -> list[ir.Value]:
    """Emit body(pointers) for each two of count, with steps in bytes; the last ones."""
    before = build.block
    head, inside, after = new_blocks(build, "head", "inside", "after")
    build.branch(head)
    build.position_at_end(head)
    left = build.phi(I32)
    left.add_incoming(count, before)
    phis = [build.phi(PTR) for _ in pointers]
    build.cbranch(build.icmp_signed(">", left, i32(0)), inside, after)
    build.position_at_end(inside)
    body(phis)
    left.add_incoming(build.sub(left, i32(2)), build.block)
    for phi, pointer, step in zip(phis, pointers, steps, strict=True):
        phi.add_incoming(pointer, before)
        phi.add_incoming(gep_bytes(build, phi, step), build.block)
    build.branch(head)
    build.position_at_end(after)
    return phis


class _Sources:
    """x + other * y of two sources' 8-bit elements, as int32 or int16; None: x."""

    def __init__(self, build: ir.IRBuilder, sign: ir.Value, other: ir.Value) -> None:
        self.build, self.sign, self.other = build, sign, other

    def _wide(self, pointer: ir.Value, offset: ir.Value, kind: ir.Type) -> ir.Value:
        narrow = I8
        if isinstance(kind, ir.VectorType):
            narrow = ir.VectorType(I8, kind.count)
        value = self.build.load(gep_bytes(self.build, pointer, offset), typ=narrow)
        value.align = 1
        wide = self.build.zext(value, kind)
        return self.build.xor(wide, _splat_narrow(self.build, self.sign, kind))

    def load(
        self, x: ir.Value, y: ir.Value, offset: ir.Value, kind: ir.Type
    ) -> ir.Value:
        """The sum of what stands at an offset (bytes) from x and from y."""
        build = self.build
        if self.other is None:
            return self._wide(x, offset, kind)
        factor = _splat_narrow(build, self.other, kind)
        second = build.mul(self._wide(y, offset, kind), factor)
        return build.add(self._wide(x, offset, kind), second)


def pack_rows(module: ir.Module, name: str, rows: int, lanes: int) -> None:
    """i32 (ptr s, t, y, z, d, stride, depth, valid, sign, other).

    d[k, i] = words of s[i', 2 k] + other * t[i', 2 k] minus the zero points y[i'] and
    z[i'], i' = min(i, valid - 1); each word fills a register. stride: bytes from one
    row of s (t) to the next, depth: elements of a row.
    """
    _Rows(define_function(module, name, ARGUMENTS), rows, lanes).emit()


class _Rows:
    """Packs row by row. step: bytes of a word that fills a register."""

    def __init__(self, function: ir.Function, rows: int, lanes: int) -> None:
        self.rows, self.lanes, self.step = rows, lanes, lanes * WORD
        self.build = entry_builder(function)
        self.argument: dict[str, ir.Value] = {a.name: a for a in function.args}
        self.sources = _Sources(
            self.build, self.argument["sign"], self.argument["other"]
        )

    def emit(self) -> None:
        """A loop over rows, in it one over groups of 8 elements and one over pairs."""
        for_range(self.build, i32(0), i32(self.rows), 1, self._row)
        self.build.ret(i32(0))

    def _row(self, i: ir.Value) -> None:
        build, given = self.build, self.argument
        last = build.sub(given["valid"], i32(1))
        row = select_signed(build, "<", i, last)
        first, second = (
            gep_bytes(build, given[p], build.mul(row, given["stride"])) for p in "st"
        )
        y, z = (gep_bytes(build, given[p], row) for p in "yz")
        zero = self.sources.load(y, z, 0, I32)
        to = gep_bytes(build, given["d"], build.mul(i, i32(self.step)))

        def at(k: ir.Value) -> ir.Value:
            offset = build.mul(k, i32(self.rows * self.step // 2))
            return gep_bytes(build, to, offset)

        start = i32(0)
        if self.lanes > 1:
            whole = build.and_(given["depth"], i32(-_GROUP))
            body = partial(self._group, first, second, zero, at)
            start = for_range(build, start, whole, _GROUP, body)
        body = partial(self._pair, first, second, zero, at)
        for_range(build, start, given["depth"], 2, body)

    def _group(
        self, first: ir.Value, second: ir.Value, zero: ir.Value, at: _At, k: ir.Value
    ) -> None:
        """Four words at once, each splat by a shuffle."""
        build, kind = self.build, ir.VectorType(I16, _GROUP)
        value = self.sources.load(first, second, k, kind)
        value = build.sub(value, _splat_narrow(build, zero, kind))
        words = build.bitcast(value, ir.VectorType(I32, 4))
        target = at(k)
        for j in range(4):
            word = shuffle(build, words, words, [j] * 4)
            store_at(build, word, target, j * self.rows * self.step)

    def _pair(
        self, first: ir.Value, second: ir.Value, zero: ir.Value, at: _At, k: ir.Value
    ) -> None:
        """One word; past the end its second element is 0."""
        build, load = self.build, self.sources.load
        following = build.add(k, i32(1))
        more = build.icmp_signed("<", following, self.argument["depth"])
        following = build.select(more, following, k)
        low = build.sub(load(first, second, k, I32), zero)
        high = build.sub(load(first, second, following, I32), zero)
        high = build.shl(build.select(more, high, i32(0)), i32(16))
        word = build.or_(build.and_(low, i32(0xFFFF)), high)
        kind = vector(I32, self.lanes)
        store_at(build, _splat_narrow(build, word, kind), at(k), 0)


def pack_columns(module: ir.Module, name: str, columns: int) -> None:
    """i32 (ptr s, t, y, z, d, stride, depth, valid, sign, other): the same for columns.

    stride: bytes from one k to the next, where columns are contiguous; depth: at
    most CHUNK. There is one source only where valid < columns.
    """
    _Columns(define_function(module, name, ARGUMENTS), columns).emit()


class _Columns:
    def __init__(self, function: ir.Function, columns: int) -> None:
        self.columns, self.kind = columns, ir.VectorType(I16, columns)
        self.build = entry_builder(function)
        self.argument: dict[str, ir.Value] = {a.name: a for a in function.args}

    def emit(self) -> None:
        """Pack x alone, or x + other * y."""
        build, given = self.build, self.argument
        self._pad()
        single, double = new_blocks(build, "single", "double")
        other = given["other"]
        build.cbranch(build.icmp_signed("==", other, i32(0)), single, double)
        for block, second in ((single, None), (double, other)):
            build.position_at_end(block)
            self._pack(_Sources(build, given["sign"], second))
            build.ret(i32(0))

    def _pad(self) -> None:
        """Where columns lack, sources become copies in which the last one repeats."""
        build, given, columns = self.build, self.argument, self.columns
        buffer = stack_bytes(build, (CHUNK + 1) * columns)
        narrow, ready = new_blocks(build, "narrow", "ready")
        before = build.block
        lacking = build.icmp_signed("<", given["valid"], i32(columns))
        build.cbranch(lacking, narrow, ready)
        build.position_at_end(narrow)
        end = build.mul(build.add(given["depth"], i32(1)), i32(columns))
        for_range(build, i32(0), end, 1, partial(self._copy, buffer))
        values, after = gep_bytes(build, buffer, columns), build.block
        build.branch(ready)
        build.position_at_end(ready)
        padded = {"s": values, "t": values, "y": buffer, "z": buffer}
        padded["stride"] = i32(columns)
        self.argument |= {
            name: phi_of(build, [(before, given[name]), (after, value)])
            for name, value in padded.items()
        }

    def _copy(self, buffer: ir.Value, i: ir.Value) -> None:
        """Copy byte i of the zero points, then of rows; columns that lack repeat."""
        build, given = self.build, self.argument
        k = build.sub(build.lshr(i, i32(self.columns.bit_length() - 1)), i32(1))
        last = build.sub(given["valid"], i32(1))
        column = build.and_(i, i32(self.columns - 1))
        column = select_signed(build, "<", column, last)
        point = build.icmp_signed("<", k, i32(0))
        offset = build.select(point, i32(0), build.mul(k, given["stride"]))
        row = gep_bytes(build, build.select(point, given["y"], given["s"]), offset)
        byte = build.load(gep_bytes(build, row, column), typ=I8)
        build.store(byte, gep_bytes(build, buffer, i), align=1)

    def _pack(self, sources: _Sources) -> None:
        build, given, kind = self.build, self.argument, self.kind
        depth, stride = given["depth"], given["stride"]
        zeros = sources.load(given["y"], given["z"], 0, kind)

        def half(x: ir.Value, y: ir.Value) -> ir.Value:
            return build.sub(sources.load(x, y, 0, kind), zeros)

        def pair(at: list[ir.Value]) -> None:
            *rows, to = at
            first = half(*rows)
            second = half(*(gep_bytes(build, row, stride) for row in rows))
            self._put(first, second, to)

        whole = build.and_(depth, i32(-2))
        steps = [build.mul(stride, i32(2))] * 2 + [i32(2 * self.columns * 2)]
        pointers = [given[name] for name in "std"]
        *rows, to = _in_pairs(build, whole, pointers, steps, pair)
        with build.if_then(build.icmp_signed("!=", whole, depth)):
            self._put(half(*rows), ir.Constant(kind, None), to)

    def _put(self, low: ir.Value, high: ir.Value, to: ir.Value) -> None:
        """Store words of the elements of two rows."""
        n = self.columns
        order = [i // 2 + n * (i % 2) for i in range(2 * n)]
        store_at(self.build, shuffle(self.build, low, high, order), to, 0)
