"""Micro-kernel that doubles planes by linear interpolation, as upsampling does.

Half-pixel places of a doubled axis lie a quarter before and behind the elements, so
between two neighbours x, y are 3/4 x + 1/4 y and 1/4 x + 3/4 y, whatever the size:
no tables and no gathers, and both axes at once in registers.

Names: `micro_double_rows`, with SIMD.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _I32, _at, _filled, _function, _i32
from toolchain.micro.fold import multiply_add
from toolchain.spec import SpecError
from toolchain.targets import Target

LANES = 4
_BYTES = 4  # of an element
_VECTOR = ir.VectorType(_F32, LANES)
_NEAR, _FAR = 0.75, 0.25


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    if name != "micro_double_rows":
        raise SpecError(f"micro-kernel {name!r} is unknown; use micro_double_rows")
    _Double(module, name, target).emit()


class _Double:
    """i32 (ptr a, b, o, p, i32 width): the two rows of the result between two of x.

    o lies nearer to row a, p to row b, each of 2 * width elements; width is at least
    LANES + 1. Where a is b, the row at an edge, o may be p.
    """

    def __init__(self, module: Any, name: str, target: Target) -> None:
        self.target = target
        function = _function(module, name, (*"abop", "width"))
        *pointers, self.width = function.args
        self.sources, self.outs = pointers[:2], pointers[2:]
        self.build = ir.IRBuilder(function.append_basic_block("entry"))

    def emit(self) -> None:
        """The ends of the rows, then a register of neighbours at a time."""
        build, one = self.build, _i32(1)
        last = build.sub(self.width, one)
        for place, end in ((_i32(0), _i32(0)), (last, build.add(last, self.width))):
            rows = self._between(place, _F32)
            for out, value in zip(self.outs, rows, strict=True):
                self._store(value, out, end, 0)
        self._whole(build.and_(last, _i32(-LANES)))
        # The last register overlaps the one before.
        place = build.sub(last, _i32(LANES))
        left, right = (self._between(place, _VECTOR, k) for k in (0, 1))
        for out, *pair in zip(self.outs, left, right, strict=True):
            self._spread(out, place, *self._mixed(*pair))
        build.ret(_i32(0))

    def _whole(self, count: Any) -> None:
        """What lies between elements 0, ..., count - 1 and those behind them.

        An element's products go on to the next register, where the one before it
        takes them: a product less than loading it twice.
        """
        build = self.build
        head, before = build.function.append_basic_block("head"), build.block
        first = [_filled(build, v, _VECTOR) for v in self._between(_i32(0), _F32)]
        first = [part for value in first for part in self._parts(value)]
        build.branch(head)
        build.position_at_end(head)
        i, *carried = (build.phi(kind) for kind in (_I32, *[_VECTOR] * len(first)))
        values = self._between(i, _VECTOR, 1)
        parts = [part for value in values for part in self._parts(value)]
        for row, out in enumerate(self.outs):
            near, far = (
                self._shuffle(carried[k], parts[k], [3, 4, 5, 6])
                for k in (2 * row, 2 * row + 1)
            )
            self._spread(
                out,
                i,
                build.fadd(near, parts[2 * row + 1]),
                build.fadd(far, parts[2 * row]),
            )
        following = build.add(i, _i32(LANES))
        for phi, begin, after in zip(
            (i, *carried), (_i32(0), *first), (following, *parts), strict=True
        ):
            phi.add_incoming(begin, before)
            phi.add_incoming(after, head)
        done = build.function.append_basic_block("done")
        build.cbranch(build.icmp_signed("<", following, count), head, done)
        build.position_at_end(done)

    def _between(self, i: Any, kind: Any, offset: int = 0) -> list[Any]:
        """Elements from i + offset on of the rows between the two of x."""
        return self._mixed(*(self._load(s, i, offset, kind) for s in self.sources))

    def _parts(self, value: Any) -> list[Any]:
        """What a value gives to the place near it and to the one beyond."""
        return [
            self.build.fmul(value, self._constant(weight, value.type))
            for weight in (_NEAR, _FAR)
        ]

    def _spread(self, out: Any, i: Any, before: Any, behind: Any) -> None:
        """Store what lies between elements i, ... and those behind them, in turn."""
        at = self.build.shl(i, _i32(1))
        for half, first in enumerate((0, LANES // 2)):
            order = [lane + of for lane in (first, first + 1) for of in (0, LANES)]
            value = self._shuffle(before, behind, order)
            self._store(value, out, at, 1 + half * LANES)

    def _shuffle(self, x: Any, y: Any, order: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, LANES), order)
        return self.build.shuffle_vector(x, y, mask)

    def _mixed(self, x: Any, y: Any) -> list[Any]:
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

    def _constant(self, value: float, kind: Any) -> Any:
        return ir.Constant(kind, [value] * LANES if kind is _VECTOR else value)

    def _place(self, pointer: Any, i: Any, offset: int) -> Any:
        build = self.build
        return _at(build, _at(build, pointer, build.shl(i, _i32(2))), offset * _BYTES)

    def _load(self, pointer: Any, i: Any, offset: int, kind: Any) -> Any:
        at = self._place(pointer, i, offset)
        return self.build.load(at, typ=kind, align=_BYTES)

    def _store(self, value: Any, pointer: Any, i: Any, offset: int) -> None:
        self.build.store(value, self._place(pointer, i, offset), align=_BYTES)
