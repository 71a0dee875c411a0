"""Micro-kernels that find the first largest or smallest float of rows in one pass.

Names: `micro_first_<max|min>_f32`, with SIMD.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _I1, _I32, _PTR, _at, _i32
from toolchain.micro.rows import (
    _I64,
    _INFINITE,
    _LOWEST,
    STEP,
    Fold,
    _in_pairs,
    _larger,
    _Writer,
)
from toolchain.spec import SpecError
from toolchain.targets import Target

_NAME = r"micro_first_(max|min)_f32"
_NEGATIVE = 0x80000000  # the bits of -0.0


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(_NAME, name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_first_<max|min>_f32"
        )
    First(module, name, Fold(match[1], "f32", target)).emit()


class First(_Writer):
    """i32 (x, o, outer, depth, last, extra): o[i] = the first best r of x[i, r], or -1.

    -1 leaves a row to others: one with a NaN, or whose largest is not positive
    (smallest not negative), or that does not fill a step; where `last` is not 0, all.
    As integers, the largest signed one is the largest positive float, and the largest
    unsigned one the smallest negative float; a NaN is beyond the infinities of one of
    both. Each lane keeps the step where it met its best; the first of those that are as
    good as any lane's is searched. No branch depends on where that is, so that rows
    overlap in a processor. o: int64.
    """

    sizes = ("outer", "depth", "last")

    def emit(self) -> None:
        """A loop over rows."""
        build, argument = self.build, self.argument
        deep = build.icmp_signed(">=", argument["depth"], _i32(STEP * self.lanes))
        first = build.icmp_signed("==", argument["last"], _i32(0))
        able = build.and_(deep, first)

        def row(i: Any) -> None:
            out = _at(build, argument["o"], build.mul(i, _i32(8)))
            build.store(ir.Constant(_I64, -1), out, align=8)
            with build.if_then(able):
                at = build.mul(build.mul(i, argument["depth"]), _i32(4))
                r = self._row(_at(build, argument["x"], at))
                build.store(build.sext(r, _I64), out, align=8)

        self.loop(_i32(0), argument["outer"], 1, row)
        build.ret(_i32(0))

    def _row(self, source: Any) -> Any:
        """The first best of a row, or -1."""
        build = self.build
        bits = self.kind(_I32, self.lanes)
        # Comparison; what a result is greater than, and at most.
        orders = [
            (build.icmp_signed, 0, _INFINITE),
            (build.icmp_unsigned, _NEGATIVE, _LOWEST),
        ]
        if self.fold.kind == "min":
            orders.reverse()
        (of, least, most), (other, start, end) = orders
        larger, beyond = (partial(_larger, build, order) for order in (of, other))
        best, rest, place = (self.variable(bits) for _ in range(3))
        row = build.ptrtoint(source, _I32)
        for variable, value in (
            (best, _i32(least)),
            (rest, _i32(start)),
            (place, row),
        ):
            build.store(self.splat(value, self.lanes), variable)

        def step(address: Any, terms: list[Any]) -> None:
            terms = [build.bitcast(x, bits) for x in terms]
            here, before = _in_pairs(larger, terms), build.load(best, typ=bits)
            now, then = self.splat(address, self.lanes), build.load(place, typ=bits)
            better = build.sext(of(">", here, before), bits)
            # Addresses grow: the larger one is the later.
            build.store(self._later(then, build.and_(now, better)), place)
            build.store(larger(before, here), best)
            seen = beyond(build.load(rest, typ=bits), _in_pairs(beyond, terms))
            build.store(seen, rest)

        self.each_step(source, step)
        lanes = build.load(best, typ=bits)
        top = self.across(lanes, larger)
        limit = self.across(build.load(rest, typ=bits), beyond)
        told = build.and_(of(">", top, _i32(least)), of("<=", top, _i32(most)))
        told = build.and_(told, other("<=", limit, _i32(end)))
        found = build.icmp_signed("==", lanes, self.splat(top, self.lanes))
        nowhere = ir.Constant(bits, [-1] * self.lanes)
        met = build.select(found, build.load(place, typ=bits), nowhere)
        address = self.across(met, self._sooner)
        before = build.lshr(build.sub(address, row), _i32(2))
        before = build.add(before, self._inside(address, top))
        return build.select(told, before, _i32(-1))

    def _later(self, a: Any, b: Any) -> Any:
        return self.build.select(self.build.icmp_unsigned(">", a, b), a, b)

    def _sooner(self, a: Any, b: Any) -> Any:
        return self.build.select(self.build.icmp_unsigned("<", a, b), a, b)

    def _inside(self, address: Any, top: Any) -> Any:
        """Elements of the step at an address before the first that is `top`."""
        build = self.build
        kind = self.kind(_I32, self.lanes)
        at, wanted = build.inttoptr(address, _PTR), self.splat(top, self.lanes)
        bits = _i32(0)
        for v in range(STEP):
            here = _at(build, at, v * self.lanes * 4)
            same = build.icmp_signed("==", build.load(here, typ=kind, align=4), wanted)
            mask = build.zext(build.bitcast(same, ir.IntType(self.lanes)), _I32)
            bits = build.or_(bits, build.shl(mask, _i32(v * self.lanes)))
        return build.cttz(bits, ir.Constant(_I1, 0))
