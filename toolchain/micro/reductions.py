"""Reductions: what the micro-kernels that fold rows and columns share.

A fold takes the steps that memory allows in an order of its own, which is the same in
every engine: eight vectors of a row in pairs before they meet the running result; of
columns, blocks of rows in registers before they meet results in L1. A sum or product of
floats that has left float32 on the way is done again in float64 (toolchain/micro/wide).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    I8,
    I32,
    I64,
    alloca,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
    new_blocks,
    shuffle,
    splat,
    vector,
)
from toolchain.micro.wide import beyond, wide
from toolchain.spec.microkernels import WIDE
from toolchain.targets import Target

_ELEMENTS = {"f32": F32, "i8": I8, "i32": I32, "i64": I64}
_WIDER = {"f32": F32, "i8": I32, "i32": I64, "i64": I64}
INFINITE, LOWEST = 0x7F800000, 0xFF800000  # the bits of infinities
_Of = Callable[[ir.Value, ir.Value], ir.Value]


@dataclass(frozen=True)
class Fold:
    """kind: sum, product, max, min, squares or deviations; element: of x, the result.

    squares, deviations: the sums of x^2 and (x - extra)^2.

    Sums of integers are wider than their elements, for means: their low bits are
    the sum's in its own width.
    """

    kind: str
    element: str
    target: Target

    @property
    def scalar(self) -> ir.Type:
        """Type of an element."""
        return _ELEMENTS[self.element]

    @property
    def total(self) -> ir.Type:
        """Type of a running result."""
        return (_WIDER if self.kind == "sum" else _ELEMENTS)[self.element]

    @property
    def bytes(self) -> int:
        """Of an element."""
        return 4 if self.element == "f32" else int(self.scalar.width) // 8

    @property
    def flags(self) -> tuple[str, ...]:
        """Of float arithmetic."""
        return ("contract",) if self.target.contract else ()

    @property
    def extreme(self) -> bool:
        """Whether it is the largest or smallest of floats, or the largest integer."""
        return self.kind in ("max", "min")

    @property
    def chooses(self) -> bool:
        """Whether NaN is looked for apart; see `choice`."""
        return self.extreme and self.element == "f32" and self.target.has("simd128")

    @property
    def overflows(self) -> bool:
        """Whether it may leave float32 where the result, in float64, does not."""
        return self.kind in ("sum", "product") and self.element == "f32"

    @property
    def empty(self) -> ir.Value:
        """The fold of nothing, as a scalar."""
        if self.kind == "product":
            return ir.Constant(self.total, 1)
        if not self.extreme:
            return ir.Constant(self.total, 0)
        if self.element == "f32":
            return ir.Constant(F32, -math.inf if self.kind == "max" else math.inf)
        return ir.Constant(self.total, -(1 << (8 * self.bytes - 1)))

    def of(self, build: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
        """a, the running result, folded with b; NaN where either is."""
        if self.extreme:
            if self.element == "f32":
                # Not f32x4.max, which gives NaN of either sign, as engines like.
                nan = build.fcmp_unordered("uno", b, b)
                return build.select(nan, b, self.choice(build, a, b))
            return build.select(build.icmp_signed(">", b, a), b, a)
        if self.element == "f32":
            fold = build.fmul if self.kind == "product" else build.fadd
            return fold(a, b, flags=self.flags)
        return (build.mul if self.kind == "product" else build.add)(a, b)

    def choice(self, build: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
        """The larger or smaller without regard to a NaN in b: one instruction.

        Where the terms' sum, one more, is not NaN either, none was there.
        """
        x, y = (a, b) if self.kind == "max" else (b, a)
        return build.select(build.fcmp_ordered("<", x, y), b, a)


def lanes_in(value: ir.Value) -> int:
    """Lanes of a vector; 1 of a scalar."""
    return int(getattr(value.type, "count", 1))


class Writer:
    """Writes a function; its `extra` is the last of its arguments.

    extra: what a sum is divided by; the bits of what deviations are from; for an
    extreme of integers what makes the largest of each, by exclusive or: -1 turns their
    order round, the sign's bit is for unsigned ones.
    """

    sizes: tuple[str, ...]

    def __init__(self, module: ir.Module, name: str, fold: Fold) -> None:
        self.fold = fold
        self.function = define_function(module, name, ("x", "o", *self.sizes, "extra"))
        # Whole steps are written; LLVM would add a vector loop for each rest.
        self.function.attributes.add("optsize")
        self.argument = {a.name: a for a in self.function.args}
        self.build = entry_builder(self.function)
        scalar = 4 if fold.element == "f32" else 1
        simd = fold.target.has("simd128")
        self.lanes = fold.target.lanes(8 * fold.bytes) if simd else scalar
        # The sum of results, as many at a time as are written.
        self.noted_lanes = self.lanes if "width" in self.sizes else 1
        self.noted = self.variable(self.kind(F32, self.noted_lanes))
        zero = ir.Constant(self.kind(F32, self.noted_lanes), None)
        self.build.store(zero, self.noted)

    @property
    def step(self) -> int:
        """Vectors of a row that are taken together."""
        return self.fold.target.tuning("reduce.step")

    @property
    def strip(self) -> int:
        """Columns whose results stay in L1."""
        return self.fold.target.tuning("reduce.strip")

    def emit(self) -> None:
        """The function."""
        raise NotImplementedError

    def loop(
        self,
        start: ir.Value,
        end: ir.Value,
        step: int,
        body: Callable[[ir.Value], object],
    ) -> ir.Value:
        """Emit body(i) for i = start, start + step, ... < end; the i after that."""
        return for_range(self.build, start, end, step, body)

    def kind(self, scalar: ir.Type, lanes: int) -> ir.Type:
        """A vector's type, or a scalar's."""
        return vector(scalar, lanes)

    def variable(self, kind: ir.Type) -> ir.Value:
        """A place that LLVM makes a register of."""
        with self.build.goto_entry_block():
            return alloca(self.build, kind)

    def splat(self, value: ir.Value, lanes: int) -> ir.Value:
        """The scalar in every lane."""
        return splat(self.build, value, self.kind(value.type, lanes))

    def turned(self, value: ir.Value) -> ir.Value:
        """An integer in the order of which the largest is wanted, or back."""
        fold, build = self.fold, self.build
        if not fold.extreme or fold.element == "f32":
            return value
        extra, lanes = self.argument["extra"], lanes_in(value)
        if fold.bytes == 1:
            extra = build.trunc(extra, fold.scalar)
        elif fold.bytes == 8:
            extra = build.sext(extra, fold.scalar)
        return build.xor(value, self.splat(extra, lanes))

    def load(self, pointer: ir.Value, offset: int, lanes: int) -> ir.Value:
        """A term, or a vector of them; offset: elements, constant."""
        fold = self.fold
        at = gep_bytes(self.build, pointer, offset * fold.bytes)
        kind = self.kind(fold.scalar, lanes)
        return self.term(self.build.load(at, typ=kind, align=fold.bytes))

    def consecutive(self, pointer: ir.Value, count: int) -> list[ir.Value]:
        """Vectors of terms that lie one after the other."""
        return [self.load(pointer, v * self.lanes, self.lanes) for v in range(count)]

    def each_step(
        self, source: ir.Value, body: Callable[[ir.Value, list[ir.Value]], None]
    ) -> None:
        """Emit body(address, vectors there) over a row of `depth` elements.

        The row fills a step; the first two may overlap, so that nothing is left. The
        address counts: an index that must not be negative took five instructions of
        31 more.
        """
        build, n, size = self.build, self.argument["depth"], self.step * self.lanes
        head, inside, after = new_blocks(build, "step_head", "step", "steps_done")
        row = build.ptrtoint(source, I32)
        body(row, self.consecutive(source, self.step))
        first = build.and_(build.sub(n, i32(1)), i32(size - 1))
        start, end = (
            build.add(row, build.mul(count, i32(self.fold.bytes)))
            for count in (build.add(first, i32(1)), n)
        )
        before = build.block
        build.branch(head)
        build.position_at_end(head)
        address = build.phi(I32)
        address.add_incoming(start, before)
        build.cbranch(build.icmp_signed("!=", address, end), inside, after)
        build.position_at_end(inside)
        body(address, self.consecutive(build.inttoptr(address, source.type), self.step))
        following = build.add(address, i32(size * self.fold.bytes))
        address.add_incoming(following, build.block)
        build.branch(head)
        build.position_at_end(after)

    def term(self, x: ir.Value) -> ir.Value:
        """What is folded, of an element or a vector of them."""
        build, fold, lanes = self.build, self.fold, lanes_in(x)
        if fold.kind == "deviations":
            shift = build.bitcast(self.argument["extra"], F32)
            x = build.fsub(x, self.splat(shift, lanes))
        if fold.kind in ("squares", "deviations"):
            return build.fmul(x, x, flags=fold.flags)
        wide = self.kind(fold.total, lanes)
        return build.sext(x, wide) if wide != x.type else self.turned(x)

    def result(self, total: ir.Value) -> ir.Value:
        """What is written of a total."""
        fold, build = self.fold, self.build
        extra, lanes = self.argument["extra"], lanes_in(total)
        if fold.kind != "sum":
            return self.turned(total)
        if fold.element == "f32":
            return build.fdiv(total, self.splat(build.sitofp(extra, F32), lanes))
        if fold.total == I64:
            extra = build.sext(extra, I64)
        total = build.sdiv(total, extra)
        return total if total.type == fold.scalar else build.trunc(total, fold.scalar)

    def note(self, result: ir.Value) -> None:
        """Add a result up with the others: an infinity or NaN among them stays."""
        if self.fold.overflows:
            seen = self.build.load(self.noted, typ=result.type)
            self.build.store(self.build.fadd(seen, result), self.noted)

    def again_widely(self, *sizes: ir.Value) -> None:
        """Fold anew, in float64, the results that left float32, if there are any.

        sizes: results in all and of a row, elements of a fold and from one to the next.
        """
        build, fold = self.build, self.fold
        if not fold.overflows:
            return
        name = WIDE(fold.kind)
        wide(build.module, name, fold.target, fold.kind)
        kind = self.kind(F32, self.noted_lanes)
        total = self.across(build.load(self.noted, typ=kind), build.fadd)
        x, o, extra = (self.argument[a] for a in ("x", "o", "extra"))
        with build.if_then(beyond(build, total)):
            build.call(build.module.get_global(name), [x, o, *sizes, extra])

    def any_lane(self, lanes: ir.Value) -> ir.Value:
        """Whether one of a register's conditions holds."""
        mask = self.build.bitcast(lanes, ir.IntType(self.lanes))
        return self.build.icmp_signed("!=", mask, ir.Constant(mask.type, 0))

    def across(self, value: ir.Value, of: _Of) -> ir.Value:
        """The fold of a vector's lanes."""
        lanes = lanes_in(value)
        half = lanes // 2
        while half:
            # Lanes that nobody needs any more are folded too: vectors stay whole.
            places = [half + i % half for i in range(lanes)]
            value = of(value, shuffle(self.build, value, value, places))
            half //= 2
        if isinstance(value.type, ir.VectorType):
            return self.build.extract_element(value, i32(0))
        return value

    def with_retry(
        self,
        quick: ir.Value,
        exact: ir.Value,
        attempt: Callable[[ir.Value, ir.Value | None], None],
    ) -> None:
        """Emit attempt(quick, sum of all that it chose from).

        Where that sum is NaN at its end, NaN may be there: it is done again as `exact`.
        """
        build, fold = self.build, self.fold
        if not fold.chooses:
            return attempt(quick, None)
        chosen = self.variable(I32)
        kind = self.kind(F32, self.lanes)
        nan = self.variable(kind)
        build.store(quick, chosen)
        again, done = new_blocks(build, "again", "done")
        build.branch(again)
        build.position_at_end(again)
        build.store(ir.Constant(kind, None), nan)
        attempt(build.load(chosen, typ=I32), nan)
        total = self.across(build.load(nan, typ=kind), build.fadd)
        build.store(exact, chosen)
        build.cbranch(build.fcmp_unordered("uno", total, total), again, done)
        build.position_at_end(done)
        return None

    def sum_for_nan(self, nan: ir.Value, terms: list[ir.Value]) -> None:
        """Add up what a choice is made from."""
        build = self.build
        total = build.load(nan, typ=terms[0].type)
        build.store(build.fadd(total, in_pairs(build.fadd, terms)), nan)


def in_pairs(of: _Of, values: list[ir.Value]) -> ir.Value:
    """The fold of values, halves of them at a time; their number is a power of two."""
    while len(values) > 1:
        half = len(values) // 2
        pairs = zip(values[:half], values[half:], strict=True)
        values = [of(a, b) for a, b in pairs]
    return values[0]


def larger(
    compare: Callable[..., ir.Value], build: ir.IRBuilder, a: ir.Value, b: ir.Value
) -> ir.Value:
    """The larger of two integers, by the builder's comparison that is given."""
    return build.select(compare(">", a, b), a, b)
