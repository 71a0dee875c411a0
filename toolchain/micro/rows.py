"""Micro-kernels that fold rows: reductions and what normalisations take of a row.

(The smallest integer is the largest in another order, see reductions.Writer.)
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from toolchain.micro.builder import F32, I32, gep_bytes, i32
from toolchain.micro.reductions import (
    INFINITE,
    LOWEST,
    Fold,
    Writer,
    in_pairs,
    larger,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import ROWS
from toolchain.targets import Target


@emits(ROWS)
def rows(module: ir.Module, name: str, target: Target, kind: str, element: str) -> None:
    """i32 (x, o, outer, n, extra): o[i] = the fold of x[i, r] over r < n."""
    _Rows(module, name, Fold(kind, element, target)).emit()


class _Rows(Writer):
    sizes = ("outer", "depth")

    def emit(self) -> None:
        """A loop over rows, with three for each: by wide steps, vectors, elements."""
        outer = self.argument["outer"]
        self.loop(i32(0), outer, 1, self._row)
        self.again_widely(outer, i32(1), self.argument["depth"], i32(1))
        self.build.ret(i32(0))

    def _row(self, i: ir.Value) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        size = i32(fold.bytes)
        source = gep_bytes(build, self.argument["x"], build.mul(build.mul(i, n), size))
        value = self.variable(fold.total)
        self._fold(source, value)
        out = gep_bytes(build, self.argument["o"], build.mul(i, size))
        result = self.result(build.load(value, typ=fold.total))
        build.store(result, out, align=fold.bytes)
        self.note(result)

    def _fold(self, source: ir.Value, value: ir.Value) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        kind = self.kind(fold.total, self.lanes)
        total = self.variable(kind)
        exact = partial(fold.of, build)
        build.store(self.splat(fold.empty, self.lanes), total)

        def step(r: ir.Value, vectors: int) -> None:
            terms = self._terms(source, r, vectors)
            seen = exact(build.load(total, typ=kind), in_pairs(exact, terms))
            build.store(seen, total)

        def rest(r: ir.Value) -> None:
            at = gep_bytes(build, source, build.mul(r, i32(fold.bytes)))
            seen = exact(build.load(value, typ=fold.total), self.load(at, 0, 1))
            build.store(seen, value)

        at = i32(0)
        if fold.chooses:
            at = self._extreme(source, total)
        for count in (
            (self.step, 1) if fold.element == "f32" and not fold.chooses else (1,)
        ):
            last = build.sub(n, i32(count * self.lanes - 1))
            at = self.loop(at, last, count * self.lanes, partial(step, vectors=count))
        build.store(self.across(build.load(total, typ=kind), exact), value)
        if self.lanes > 1:
            self.loop(at, n, 1, rest)

    def _terms(self, source: ir.Value, r: ir.Value, vectors: int) -> list[ir.Value]:
        at = gep_bytes(self.build, source, self.build.mul(r, i32(self.fold.bytes)))
        return self.consecutive(at, vectors)

    def _extreme(self, source: ir.Value, total: ir.Value) -> ir.Value:
        """Fold the row into `total` by whole steps; where what is left starts.

        As integers, the largest signed one is the largest float that is not negative
        or a NaN, and the largest unsigned one the lowest negative float or a NaN: both
        are less than a comparison of floats and one for NaN, which share two of four
        pipes. Where that does not tell, as all are negative, floats are compared; NaN
        leaves the row to exact steps.
        """
        build, fold, n = self.build, self.fold, self.argument["depth"]
        floats, bits = self.kind(F32, self.lanes), self.kind(I32, self.lanes)
        low, high = self.variable(bits), self.variable(bits)
        for place, start in ((low, LOWEST), (high, 0)):
            build.store(self.splat(i32(start), self.lanes), place)
        enough = build.icmp_signed(">=", n, i32(self.step * self.lanes))

        def compared(_: ir.Value, terms: list[ir.Value]) -> None:
            terms = [build.bitcast(x, bits) for x in terms]
            for place, of in ((low, build.icmp_signed), (high, build.icmp_unsigned)):
                most = partial(larger, of, build)
                seen = most(build.load(place, typ=bits), in_pairs(most, terms))
                build.store(seen, place)

        def chosen(_: ir.Value, terms: list[ir.Value]) -> None:
            choose = partial(fold.choice, build)
            seen = choose(build.load(total, typ=floats), in_pairs(choose, terms))
            build.store(seen, total)

        with build.if_then(enough):
            self.each_step(source, compared)
        signed, unsigned = build.load(low, typ=bits), build.load(high, typ=bits)
        zero, empty = ir.Constant(bits, None), self.splat(fold.empty, self.lanes)
        most, least = (self.splat(i32(v), self.lanes) for v in (INFINITE, LOWEST))
        nan = build.or_(
            build.icmp_signed(">", signed, most),
            build.icmp_unsigned(">", unsigned, least),
        )
        sign, key = (">=", signed) if fold.kind == "max" else ("<", unsigned)
        known = build.icmp_signed(sign, key, zero)
        build.store(build.select(known, build.bitcast(key, floats), empty), total)
        some_nan, some_known = self.any_lane(nan), self.any_lane(known)
        told = build.or_(some_nan, some_known)
        with build.if_then(build.and_(enough, build.not_(told))):
            self.each_step(source, chosen)
        seen = build.load(total, typ=floats)
        build.store(build.select(some_nan, empty, seen), total)
        done = build.and_(enough, build.not_(some_nan))
        return build.select(done, n, i32(0))
