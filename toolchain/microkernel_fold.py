"""Micro-kernels that fold windows: depthwise convolution and pooling.

One loop over a table of taps serves every window, stride and dilation: a tap is
where it lies from the window's first element, and where its weight lies. What a tap
costs beside its arithmetic is shared by the tile's registers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from toolchain.microkernel import _F32, _I8, _I32, _at, _function, _load, _loop
from toolchain.spec import SpecError
from toolchain.targets import Target

_ELEMENTS = {"f32": _F32, "i8": _I8, "u8": _I8}
_FOLD_NAME = r"micro_fold_(madd|max|sum)_(f32|i8|u8)_(\d+)x(\d+)(?:_([12]))?"
_GROUP = 3  # taps of an entry
_TAP = 8  # bytes of a tap in its table: two int32


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    if match := re.fullmatch(_FOLD_NAME, name):
        shape = int(match[3]), int(match[4])
        fold = Fold(match[1], match[2], *shape, target, int(match[5] or 0))
        Window(module, name, fold).emit()
    elif match := re.fullmatch(r"micro_split_(f32|i8)_(1|2)", name):
        split(module, name, match[1], int(match[2]), target)
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_fold_<madd|max|sum>_<f32|i8|u8>_<rows>x<columns>[_<1|2>] or "
            "micro_split_<f32|i8>_<1|2>"
        )


@dataclass(frozen=True)
class Fold:
    """kind: madd, max or sum. element: f32, i8 or u8. rows, columns: of the tile.

    stride: 0 for taps one by one; otherwise an entry of the table is three taps, on
    neighbouring rows of x, and the tile's rows are `stride` of those apart, so that
    a row of x is loaded once for all of them.
    """

    kind: str
    element: str
    rows: int
    columns: int
    target: Target
    stride: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of an element."""
        return 4 if self.element == "f32" else 1

    @property
    def lanes(self) -> int:
        """Elements in a register."""
        return 16 // self.bytes if self.target.has("simd128") else 1

    @property
    def unit(self) -> Any:
        """Type of a register."""
        scalar = _ELEMENTS[self.element]
        return scalar if self.lanes == 1 else ir.VectorType(scalar, self.lanes)


class Window:
    """o[p, r, j] = b[j] + sum_k w[t[k, 1] + j] * x[t[k, 0] + p, r, j].

    Or the largest or the sum of x alone. i32 (ptr x, w, b, t, o, i32 taps, rows,
    count, size, x_row, o_row, x_step, o_step, w_row), for p < count in tiles of
    `size`, r < rows and j < columns. rows is at most the tile's, or the tile's where
    an entry of the table is a group: its taps lie x_row apart, their weights w_row.
    count is at least `size`, the last tile may overlap the one before. *_row: bytes
    from a row to the next; *_step: from p to p + 1; the table of taps holds bytes.
    """

    def __init__(self, module: Any, name: str, fold: Fold) -> None:
        self.fold = fold
        sizes = "taps rows count size x_row o_row x_step o_step w_row"
        self.function = _function(module, name, (*"xwbto", *sizes.split()))
        self.argument = {a.name: a for a in self.function.args}
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        """A loop over tiles, in it one over taps."""
        build, argument = self.builder, self.argument
        entry = build.block
        tile, tap, latch, done, more, end = (
            self.function.append_basic_block(name)
            for name in ("tile", "tap", "latch", "done", "more", "end")
        )
        last = build.sub(argument["count"], argument["size"])
        build.branch(tile)

        build.position_at_end(tile)
        place = build.phi(_I32)
        place.add_incoming(ir.Constant(_I32, 0), entry)
        source = _at(build, argument["x"], build.mul(place, argument["x_step"]))
        table, taps = argument["t"], argument["taps"]
        if self.fold.kind == "madd":
            begin = [self._load(argument["b"], i) for i in self._vectors()]
            begin *= self.fold.rows
            build.branch(tap)
        else:
            begun = self.function.append_basic_block("begun")
            begin = self._tap(source, table, [], begun)
            table = _at(build, table, _TAP)
            taps = build.sub(taps, ir.Constant(_I32, 1))
            alone = build.icmp_signed("==", taps, ir.Constant(_I32, 0))
            build.cbranch(alone, done, tap)
        before = build.block

        build.position_at_end(tap)
        sums = [build.phi(self.fold.unit) for _ in begin]
        at, left = build.phi(argument["t"].type), build.phi(_I32)
        fold = self._group if self.fold.stride else self._tap
        folded = fold(source, at, sums, latch)
        rest = build.sub(left, ir.Constant(_I32, 1))
        following = [*folded, _at(build, at, _TAP), rest]
        for phi, first, after in zip(
            (*sums, at, left),
            (*begin, table, taps),
            following,
            strict=True,
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(after, latch)
        build.cbranch(build.icmp_signed("==", rest, ir.Constant(_I32, 0)), done, tap)

        build.position_at_end(done)
        if self.fold.kind != "madd":
            folded = self._merged([(before, begin), (latch, folded)])
        out = _at(build, argument["o"], build.mul(place, argument["o_step"]))
        after = self.function.append_basic_block("written")
        self._write(out, folded, after)
        build.cbranch(build.icmp_signed("==", place, last), end, more)

        build.position_at_end(more)
        onward = build.add(place, argument["size"])
        onward = build.select(build.icmp_signed("<", onward, last), onward, last)
        place.add_incoming(onward, more)
        build.branch(tile)
        build.position_at_end(end)
        build.ret(ir.Constant(_I32, 0))

    def _vectors(self) -> range:
        return range(0, self.fold.columns, self.fold.lanes)

    def _load(self, pointer: Any, i: int) -> Any:
        at = _at(self.builder, pointer, i * self.fold.bytes)
        return self.builder.load(at, typ=self.fold.unit, align=self.fold.bytes)

    def _offset(self, table: Any, place: int) -> Any:
        return _load(self.builder, table, place, _I32)

    def _rows(self, after: Any) -> Iterator[int]:
        """Each row of the tile, in a block of its own, until `rows` of them are done.

        The exits also keep engines from loading all rows ahead of the arithmetic,
        which spills accumulators.
        """
        build = self.builder
        for row in range(self.fold.rows):
            yield row
            if row == self.fold.rows - 1:
                build.branch(after)
            else:
                enough = ir.Constant(_I32, row + 1)
                following = self.function.append_basic_block("row")
                done = build.icmp_signed("==", self.argument["rows"], enough)
                build.cbranch(done, after, following)
                build.position_at_end(following)
        build.position_at_end(after)

    def _tap(self, x: Any, at: Any, sums: list[Any], latch: Any) -> list[Any]:
        """The sums with a tap folded in (no sums: the tap), as phis of `latch`."""
        build, state = self.builder, list(sums)
        source = _at(build, x, self._offset(at, 0))
        weights = []
        unset = ir.Constant(self.fold.unit, ir.Undefined)
        state = state or [unset] * (self.fold.rows * len(self._vectors()))
        if self.fold.kind == "madd":
            pointer = _at(build, self.argument["w"], self._offset(at, 4))
            weights = [self._load(pointer, i) for i in self._vectors()]
        exits = []
        for row in self._rows(latch):
            if row:
                source = _at(build, source, self.argument["x_row"])
            for v, i in enumerate(self._vectors()):
                place = row * len(self._vectors()) + v
                factor = weights[v] if weights else None
                value = self._load(source, i)
                state[place] = (
                    self._fold(state[place], value, factor) if sums else value
                )
            exits.append((build.block, list(state)))
        return self._merged(exits)

    def _merged(self, exits: list[tuple[Any, list[Any]]]) -> list[Any]:
        """Phis of the values that come from several blocks."""
        phis = []
        for i in range(len(exits[0][1])):
            phi = self.builder.phi(self.fold.unit)
            for block, values in exits:
                phi.add_incoming(values[i], block)
            phis.append(phi)
        return phis

    def _group(self, x: Any, at: Any, sums: list[Any], latch: Any) -> list[Any]:
        """The sums with a group of taps folded in."""
        build, stride = self.builder, self.fold.stride
        state, vectors = list(sums), len(self._vectors())
        source = _at(build, x, self._offset(at, 0))
        pointer = _at(build, self.argument["w"], self._offset(at, 4))
        weights = []
        for tap in range(_GROUP):
            if tap:
                pointer = _at(build, pointer, self.argument["w_row"])
            weights.append([self._load(pointer, i) for i in self._vectors()])
        for line in range(stride * (self.fold.rows - 1) + _GROUP):
            if line:
                source = _at(build, source, self.argument["x_row"])
            values = [self._load(source, i) for i in self._vectors()]
            for row in range(self.fold.rows):
                tap = line - row * stride
                if not 0 <= tap < _GROUP:
                    continue
                for v, value in enumerate(values):
                    place = row * vectors + v
                    state[place] = self._fold(state[place], value, weights[tap][v])
        build.branch(latch)
        build.position_at_end(latch)
        return state

    def _fold(self, total: Any, value: Any, weight: Any) -> Any:
        if self.fold.kind == "madd":
            return self._multiply_add(value, weight, total)
        if self.fold.kind == "max":
            return self._larger(total, value)
        return self.builder.fadd(total, value)

    def _multiply_add(self, x: Any, w: Any, total: Any) -> Any:
        build = self.builder
        if self.fold.target.contract:
            name, kind = "llvm.fmuladd.v4f32", self.fold.unit
            signature = ir.FunctionType(kind, [kind] * 3)
            function = build.module.globals.get(name) or ir.Function(
                build.module, signature, name
            )
            return build.call(function, [x, w, total])
        return build.fadd(build.fmul(x, w), total)

    def _larger(self, x: Any, y: Any) -> Any:
        """The larger; NaN where either is.

        Each select is one instruction of x86 and passes on a NaN in its last operand
        only; or-ed, they are equal, or one is NaN and remains one. (Of two zeros of
        different signs it makes -0.) f32x4.max takes seven instructions.
        """
        build = self.builder
        if self.fold.element != "f32":
            compare = (
                build.icmp_signed if self.fold.element == "i8" else build.icmp_unsigned
            )
            return build.select(compare(">", x, y), x, y)
        bits = _I32 if self.fold.lanes == 1 else ir.VectorType(_I32, self.fold.lanes)
        parts = [
            build.bitcast(build.select(build.fcmp_ordered("<", a, b), b, a), bits)
            for a, b in ((x, y), (y, x))
        ]
        return build.bitcast(build.or_(*parts), self.fold.unit)

    def _write(self, out: Any, results: list[Any], after: Any) -> None:
        build, fold = self.builder, self.fold
        for row in self._rows(after):
            if row:
                out = _at(build, out, self.argument["o_row"])
            for v, i in enumerate(self._vectors()):
                value = results[row * len(self._vectors()) + v]
                build.store(value, _at(build, out, i * fold.bytes), align=fold.bytes)


def split(module: Any, name: str, element: str, phases: int, target: Target) -> None:
    """i32 (s, d, e, count): d[i] = s[i]; or d[i] = s[2 i], e[i] = s[2 i + 1].

    count: elements of s. Two registers at a time: of one, LLVM makes memory.copy, whose
    call takes longer than a short row.
    """
    scalar = _ELEMENTS[element]
    size = 4 if scalar is _F32 else 1  # bytes
    lanes = 16 // size if target.has("simd128") else 1
    function = _function(module, name, ("s", "d", "e", "count"))
    build = ir.IRBuilder(function.append_basic_block("entry"))
    source, *targets, count = function.args
    kind, step = ir.VectorType(scalar, lanes), 2 * lanes
    one, start = ir.Constant(_I32, 1), ir.Constant(_I32, 0)

    def place(pointer: Any, i: Any, offset: int = 0) -> Any:
        start = _at(build, pointer, build.mul(i, ir.Constant(_I32, size)))
        return _at(build, start, offset)

    def load(i: Any, offset: int, kind: Any) -> Any:
        return build.load(place(source, i, offset), typ=kind, align=size)

    def tile(i: Any) -> None:
        pair = [load(i, 0, kind), load(i, lanes * size, kind)]
        if phases == 1:
            for v, value in enumerate(pair):
                build.store(value, place(targets[0], i, v * lanes * size), align=size)
            return
        for parity, out in enumerate(targets):
            mask = [2 * j + parity for j in range(lanes)]
            chosen = ir.Constant(ir.VectorType(_I32, lanes), mask)
            value = build.shuffle_vector(*pair, chosen)
            build.store(value, place(out, build.ashr(i, one)), align=size)

    def single(i: Any) -> None:
        out, at = targets[0], i
        if phases == 2:
            odd = build.trunc(i, ir.IntType(1))
            out, at = build.select(odd, targets[1], out), build.ashr(i, one)
        build.store(load(i, 0, scalar), place(out, at), align=size)

    if lanes > 1:
        whole = build.and_(count, ir.Constant(_I32, -step))
        start = _loop(function, build, start, whole, step, tile)
    _loop(function, build, start, count, 1, single)
    build.ret(ir.Constant(_I32, 0))
