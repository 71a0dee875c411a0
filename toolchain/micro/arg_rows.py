"""Micro-kernels that find the first largest or smallest float of rows in one pass.

They need SIMD.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from toolchain.micro.builder import I1, I32, I64, PTR, gep_bytes, i32
from toolchain.micro.reductions import (
    INFINITE,
    LOWEST,
    Fold,
    Writer,
    in_pairs,
    larger,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import ARG_ROWS
from toolchain.targets import Target

_NEGATIVE = 0x80000000  # the bits of -0.0


@emits(ARG_ROWS)
def arg_rows(module: ir.Module, name: str, target: Target, kind: str) -> None:
    """i32 (x, o, outer, depth, last, extra): o[i] = the first best r of x[i, r], or -1.

    -1 leaves a row to others: one with a NaN, or whose largest is not positive
    (smallest not negative), or that does not fill a step; where `last` is not 0, all.
    As integers, the largest signed one is the largest positive float, and the largest
    unsigned one the smallest negative float; a NaN is beyond the infinities of one of
    both. Each lane keeps the step where it met its best; the first of steps that are as
    good as any lane's is searched. No branch depends on where that is, so that rows
    overlap in a processor. o: int64.
    """
    _ArgRows(module, name, Fold(kind, "f32", target)).emit()


class _ArgRows(Writer):
    sizes = ("outer", "depth", "last")

    def emit(self) -> None:
        """A loop over rows."""
        build, argument = self.build, self.argument
        deep = build.icmp_signed(">=", argument["depth"], i32(self.step * self.lanes))
        first = build.icmp_signed("==", argument["last"], i32(0))
        able = build.and_(deep, first)

        def row(i: ir.Value) -> None:
            out = gep_bytes(build, argument["o"], build.mul(i, i32(8)))
            build.store(ir.Constant(I64, -1), out, align=8)
            with build.if_then(able):
                at = build.mul(build.mul(i, argument["depth"]), i32(4))
                r = self._row(gep_bytes(build, argument["x"], at))
                build.store(build.sext(r, I64), out, align=8)

        self.loop(i32(0), argument["outer"], 1, row)
        build.ret(i32(0))

    def _row(self, source: ir.Value) -> ir.Value:
        """The first best of a row, or -1."""
        build = self.build
        bits = self.kind(I32, self.lanes)
        # Comparison; what a result is greater than, and at most.
        orders = [
            (build.icmp_signed, 0, INFINITE),
            (build.icmp_unsigned, _NEGATIVE, LOWEST),
        ]
        if self.fold.kind == "min":
            orders.reverse()
        (of, least, most), (other, start, end) = orders
        better_of, beyond = (partial(larger, order, build) for order in (of, other))
        best, rest, place = (self.variable(bits) for _ in range(3))
        row = build.ptrtoint(source, I32)
        for variable, value in (
            (best, i32(least)),
            (rest, i32(start)),
            (place, row),
        ):
            build.store(self.splat(value, self.lanes), variable)

        def step(address: ir.Value, terms: list[ir.Value]) -> None:
            terms = [build.bitcast(x, bits) for x in terms]
            here, before = in_pairs(better_of, terms), build.load(best, typ=bits)
            now, then = self.splat(address, self.lanes), build.load(place, typ=bits)
            better = build.sext(of(">", here, before), bits)
            # Addresses grow: the larger one is the later.
            build.store(self._later(then, build.and_(now, better)), place)
            build.store(better_of(before, here), best)
            seen = beyond(build.load(rest, typ=bits), in_pairs(beyond, terms))
            build.store(seen, rest)

        self.each_step(source, step)
        lanes = build.load(best, typ=bits)
        top = self.across(lanes, better_of)
        limit = self.across(build.load(rest, typ=bits), beyond)
        told = build.and_(of(">", top, i32(least)), of("<=", top, i32(most)))
        told = build.and_(told, other("<=", limit, i32(end)))
        found = build.icmp_signed("==", lanes, self.splat(top, self.lanes))
        nowhere = ir.Constant(bits, [-1] * self.lanes)
        met = build.select(found, build.load(place, typ=bits), nowhere)
        address = self.across(met, self._sooner)
        before = build.lshr(build.sub(address, row), i32(2))
        before = build.add(before, self._inside(address, top))
        return build.select(told, before, i32(-1))

    def _later(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.build.select(self.build.icmp_unsigned(">", a, b), a, b)

    def _sooner(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.build.select(self.build.icmp_unsigned("<", a, b), a, b)

    def _inside(self, address: ir.Value, top: ir.Value) -> ir.Value:
        """Elements of the step at an address before the first that is `top`."""
        build = self.build
        kind = self.kind(I32, self.lanes)
        at, wanted = build.inttoptr(address, PTR), self.splat(top, self.lanes)
        bits = i32(0)
        for v in range(self.step):
            here = gep_bytes(build, at, v * self.lanes * 4)
            same = build.icmp_signed("==", build.load(here, typ=kind, align=4), wanted)
            mask = build.zext(build.bitcast(same, ir.IntType(self.lanes)), I32)
            bits = build.or_(bits, build.shl(mask, i32(v * self.lanes)))
        return build.cttz(bits, ir.Constant(I1, 0))
