"""Micro-kernel that doubles planes by linear interpolation, as upsampling does.

Half-pixel places of a doubled axis lie a quarter before and behind the elements, so
between two neighbours x, y are 3/4 x + 1/4 y and 1/4 x + 3/4 y, whatever the size:
no tables and no gathers, and both axes at once in registers.

It needs SIMD.
"""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I32,
    WORD,
    add_incoming,
    define_function,
    entry_builder,
    gep_bytes,
    i32,
    load_at,
    multiply_add,
    new_blocks,
    shuffle,
    splat,
    store_at,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import DOUBLE
from toolchain.targets import Target

LANES = 4
_VECTOR = ir.VectorType(F32, LANES)
_NEAR, _FAR = 0.75, 0.25


@emits(DOUBLE)
def double(module: ir.Module, name: str, target: Target) -> None:
    """i32 (ptr a, b, o, p, i32 width): the two rows of the result between two of x.

    o lies nearer to row a, p to row b, each of 2 * width elements; width is at least
    LANES + 1. Where a is b, the row at an edge, o may be p.
    """
    _Double(module, name, target).emit()


class _Double:
    def __init__(self, module: ir.Module, name: str, target: Target) -> None:
        self.target = target
        function = define_function(module, name, (*"abop", "width"))
        *pointers, self.width = function.args
        self.sources, self.outs = pointers[:2], pointers[2:]
        self.build = entry_builder(function)

    def emit(self) -> None:
        """The ends of the rows, then a register of neighbours at a time."""
        build, one = self.build, i32(1)
        last = build.sub(self.width, one)
        for place, end in ((i32(0), i32(0)), (last, build.add(last, self.width))):
            rows = self._between(place, F32)
            for out, value in zip(self.outs, rows, strict=True):
                self._store(value, out, end, 0)
        self._whole(build.and_(last, i32(-LANES)))
        # The last register overlaps its neighbour.
        place = build.sub(last, i32(LANES))
        left, right = (self._between(place, _VECTOR, k) for k in (0, 1))
        for out, *pair in zip(self.outs, left, right, strict=True):
            self._interleave(out, place, *self._mixed(*pair))
        build.ret(i32(0))

    def _whole(self, count: ir.Value) -> None:
        """What lies between elements 0, ..., count - 1 and the elements behind them.

        An element's products go on to the next register, where the one before it
        takes them: a product less than loading it twice.
        """
        build = self.build
        (head,), before = new_blocks(build, "head"), build.block
        first = [splat(build, v, _VECTOR) for v in self._between(i32(0), F32)]
        first = [part for value in first for part in self._parts(value)]
        build.branch(head)
        build.position_at_end(head)
        i, *carried = (build.phi(kind) for kind in (I32, *[_VECTOR] * len(first)))
        values = self._between(i, _VECTOR, 1)
        parts = [part for value in values for part in self._parts(value)]
        for row, out in enumerate(self.outs):
            near, far = (
                shuffle(build, carried[k], parts[k], [3, 4, 5, 6])
                for k in (2 * row, 2 * row + 1)
            )
            before_i = build.fadd(near, parts[2 * row + 1])
            self._interleave(out, i, before_i, build.fadd(far, parts[2 * row]))
        following = build.add(i, i32(LANES))
        add_incoming((i, *carried), (i32(0), *first), before)
        add_incoming((i, *carried), (following, *parts), head)
        (done,) = new_blocks(build, "done")
        build.cbranch(build.icmp_signed("<", following, count), head, done)
        build.position_at_end(done)

    def _between(self, i: ir.Value, kind: ir.Type, offset: int = 0) -> list[ir.Value]:
        """Elements from i + offset on of the rows between the two of x."""
        return self._mixed(*(self._load(s, i, offset, kind) for s in self.sources))

    def _parts(self, value: ir.Value) -> list[ir.Value]:
        """What a value gives to the place near it and to the place beyond."""
        return [
            self.build.fmul(value, self._constant(weight, value.type))
            for weight in (_NEAR, _FAR)
        ]

    def _interleave(
        self, out: ir.Value, i: ir.Value, before: ir.Value, behind: ir.Value
    ) -> None:
        """Store in turn the two results between each element from i on and the next."""
        at = self.build.shl(i, i32(1))
        for half, first in enumerate((0, LANES // 2)):
            order = [lane + of for lane in (first, first + 1) for of in (0, LANES)]
            value = shuffle(self.build, before, behind, order)
            self._store(value, out, at, 1 + half * LANES)

    def _mixed(self, x: ir.Value, y: ir.Value) -> list[ir.Value]:
        """3/4 x + 1/4 y and 3/4 y + 1/4 x."""
        near, far = (self._constant(value, x.type) for value in (_NEAR, _FAR))
        build, wide = self.build, x.type is _VECTOR
        mixed = []
        for first, second in ((x, y), (y, x)):
            part = build.fmul(second, far)
            if wide:
                mixed.append(multiply_add(build, self.target, first, near, part))
            else:
                mixed.append(build.fadd(part, build.fmul(first, near)))
        return mixed

    def _constant(self, value: float, kind: ir.Type) -> ir.Value:
        return ir.Constant(kind, [value] * LANES if kind is _VECTOR else value)

    def _element(self, pointer: ir.Value, i: ir.Value) -> ir.Value:
        return gep_bytes(self.build, pointer, self.build.shl(i, i32(2)))

    def _load(
        self, pointer: ir.Value, i: ir.Value, offset: int, kind: ir.Type
    ) -> ir.Value:
        element = self._element(pointer, i)
        return load_at(self.build, element, offset * WORD, kind)

    def _store(
        self, value: ir.Value, pointer: ir.Value, i: ir.Value, offset: int
    ) -> None:
        store_at(self.build, value, self._element(pointer, i), offset * WORD)
