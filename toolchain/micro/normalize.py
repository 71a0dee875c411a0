"""Micro-kernels that scale rows: the last pass of a normalization.

A function of its own keeps its pointers in registers. In a loop nest beside the calls
that fold a row, engines loaded and stored three of them for every 16 elements.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I32,
    WORD,
    alloca,
    define_function,
    entry_builder,
    for_overlapping,
    for_range,
    gep_bytes,
    i32,
    load_at,
    splat,
    store_at,
    vector,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import NORMALIZE
from toolchain.spec.normalization import MOST
from toolchain.targets import Target


@emits(NORMALIZE)
def normalize(module: ir.Module, name: str, target: Target, kind: str) -> None:
    """i32 (ptr x, m, v, s, b, o, i32 count, depth): rows of a normalization.

    o[i, r] = (x[i, r] - m[i]) * v[i] * s[r] + b[r], or, "scaled",
    x[i, r] * v[i] * s[r], for i < count and r < depth, which is at least 1. Where v[i]
    is not above 0 and at most 2^50, o[i, 0] is NaN instead. Gives 1 where there is such
    a row, else 0.
    """
    _Normalize(module, name, kind, target).emit()


class _Normalize:
    def __init__(self, module: ir.Module, name: str, kind: str, target: Target) -> None:
        self.centred, self.lanes = kind == "centred", target.lanes()
        self.vectors = target.tuning("normalize.vectors")
        self.flags = ("contract",) if target.contract else ()
        function = define_function(module, name, (*"xmvsbo", "count", "depth"))
        function.attributes.add("optsize")
        self.given = {a.name: a for a in function.args}
        self.build = entry_builder(function)

    def emit(self) -> None:
        """A loop over rows."""
        build = self.build
        self.lost = alloca(build, I32)
        build.store(i32(0), self.lost)
        for_range(build, i32(0), self.given["count"], 1, self._row)
        build.ret(build.load(self.lost, typ=I32))

    def _row(self, i: ir.Value) -> None:
        """By steps of vectors, of which the last ends with the row; or by elements."""
        build, depth, step = self.build, self.given["depth"], self.vectors * self.lanes
        at = build.mul(build.mul(i, depth), i32(WORD))
        x, out = (gep_bytes(build, self.given[p], at) for p in "xo")
        place = build.mul(i, i32(WORD))
        mean, inverse = (load_at(build, self.given[p], place, F32) for p in "mv")
        body = partial(self._elements, x, out, mean, inverse)
        with build.if_else(build.icmp_signed(">=", depth, i32(step))) as (wide, short):
            with wide:
                for_overlapping(
                    build, depth, step, partial(body, self.vectors, self.lanes)
                )
            with short:
                for_range(build, i32(0), depth, 1, partial(body, 1, 1))
        bits = build.sub(build.bitcast(inverse, I32), i32(1))
        with build.if_then(build.icmp_unsigned(">=", bits, i32(MOST)), likely=False):
            store_at(build, ir.Constant(F32, float("nan")), out, 0)
            build.store(i32(1), self.lost)

    def _elements(
        self,
        x: ir.Value,
        out: ir.Value,
        mean: ir.Value,
        inverse: ir.Value,
        count: int,
        lanes: int,
        r: ir.Value,
    ) -> None:
        """Registers of so many elements, from r on."""
        build, kind, at = self.build, vector(F32, lanes), self.build.mul(r, i32(WORD))
        mean, inverse = (splat(build, value, kind) for value in (mean, inverse))
        x, s, b, out = (
            gep_bytes(build, p, at) for p in (x, self.given["s"], self.given["b"], out)
        )
        for v in range(count):
            offset = v * lanes * WORD
            value = load_at(build, x, offset, kind)
            if self.centred:
                value = build.fsub(value, mean)
            value = build.fmul(value, inverse)
            value = build.fmul(value, load_at(build, s, offset, kind), self.flags)
            if self.centred:
                bias = load_at(build, b, offset, kind)
                value = build.fadd(value, bias, self.flags)
            store_at(build, value, out, offset)
