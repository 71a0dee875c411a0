"""Micro-kernels that find a value in a row: the index of its first or last element."""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    I32,
    I64,
    define_function,
    entry_builder,
    gep_bytes,
    i32,
    new_blocks,
    phi_of,
    splat,
)
from toolchain.micro.reductions import Fold
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import ARG_FIND
from toolchain.targets import Target


@emits(ARG_FIND)
def arg_find(module: ir.Module, name: str, target: Target, element: str) -> None:
    """i32 (x, v, o, count, last): o[0] = the first i, or the last, with x[i] = v[0].

    NaN is equal to NaN; one of the elements is equal to v[0]. o: int64.
    """
    _Find(module, name, Fold("max", element, target)).emit()


class _Find:
    def __init__(self, module: ir.Module, name: str, fold: Fold) -> None:
        self.fold = fold
        function = define_function(module, name, ("x", "v", "o", "count", "last"))
        self.build = entry_builder(function)
        self.x, self.v, self.out, self.count, self.last = function.args
        self.block = fold.target.tuning("arg.block")

    def emit(self) -> None:
        """A loop over blocks; the rest, and a search for NaN, go by elements."""
        build, fold = self.build, self.fold
        head, block, hit, onward, single, more, done = new_blocks(
            build, "head", "block", "hit", "onward", "single", "more", "done"
        )
        entry = build.block
        self.backwards = build.icmp_signed("!=", self.last, i32(0))
        value = build.load(self.v, typ=fold.scalar, align=fold.bytes)
        limit = self._limit(value)
        build.branch(head)

        build.position_at_end(head)
        at = build.phi(I32)
        at.add_incoming(i32(0), entry)
        whole = build.sub(limit, i32(self.block))
        build.cbranch(build.icmp_signed("<=", at, whole), block, single)

        build.position_at_end(block)
        first = self._place(at, self.block)
        bits = self._matches(first, value)
        build.cbranch(build.icmp_signed("==", bits, i32(0)), onward, hit)

        build.position_at_end(onward)
        at.add_incoming(build.add(at, i32(self.block)), onward)
        build.branch(head)

        build.position_at_end(hit)
        found = build.add(first, self._chosen(bits))
        build.branch(done)

        build.position_at_end(single)
        i = build.phi(I32)
        i.add_incoming(at, head)
        alone = self._place(i, 1)
        same = self._same(alone, value)
        following = build.add(i, i32(1))
        over = build.or_(same, build.icmp_signed(">=", following, self.count))
        build.cbranch(over, done, more)

        build.position_at_end(more)
        i.add_incoming(following, more)
        build.branch(single)

        build.position_at_end(done)
        result = phi_of(build, [(hit, found), (single, alone)])
        build.store(build.sext(result, I64), self.out, align=8)
        build.ret(i32(0))

    def _limit(self, value: ir.Value) -> ir.Value:
        """Elements that are searched by blocks: all, or none."""
        build = self.build
        limit = self.count if self.fold.target.has("simd128") else i32(0)
        if self.fold.element == "f32":
            nan = build.fcmp_unordered("uno", value, value)
            limit = build.select(nan, i32(0), limit)
        return limit

    def _load(self, i: ir.Value, kind: ir.Type) -> ir.Value:
        size = self.fold.bytes
        at = gep_bytes(self.build, self.x, self.build.mul(i, i32(size)))
        return self.build.load(at, typ=kind, align=size)

    def _place(self, i: ir.Value, size: int) -> ir.Value:
        """Where the elements i, ... that are to be searched are."""
        build = self.build
        mirrored = build.sub(build.sub(self.count, i32(size)), i)
        return build.select(self.backwards, mirrored, i)

    def _matches(self, first: ir.Value, value: ir.Value) -> ir.Value:
        """A bit for each element of a block: whether it is the value."""
        build, fold = self.build, self.fold
        elements = self._load(first, ir.VectorType(fold.scalar, self.block))
        wide = splat(build, value, elements.type)
        floats = fold.element == "f32"
        compare = build.fcmp_ordered if floats else build.icmp_signed
        mask = ir.IntType(self.block)
        return build.zext(build.bitcast(compare("==", elements, wide), mask), I32)

    def _chosen(self, bits: ir.Value) -> ir.Value:
        """The number of the first bit that is set, or of the last."""
        build = self.build
        unset = ir.Constant(ir.IntType(1), 1)
        highest = build.sub(i32(31), build.ctlz(bits, unset))
        return build.select(self.backwards, highest, build.cttz(bits, unset))

    def _same(self, place: ir.Value, value: ir.Value) -> ir.Value:
        """Whether an element is the value, or a NaN."""
        build, fold = self.build, self.fold
        element = self._load(place, fold.scalar)
        if fold.element != "f32":
            return build.icmp_signed("==", element, value)
        same = build.fcmp_ordered("==", element, value)
        return build.or_(same, build.fcmp_unordered("uno", element, element))
