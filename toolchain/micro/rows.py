"""Micro-kernels that fold rows and columns: what reductions and normalisations share.

A fold takes the steps that memory allows in an order of its own, which is the same in
every engine: eight vectors of a row in pairs before they meet the running result; of
columns, blocks of rows in registers before they meet those in L1. A sum or product of
floats that has left float32 on the way is done again in float64 (microkernel_wide).

Names: `micro_<rows|columns>_<sum|product|max>_<f32|i8|i32|i64>` and
`micro_<rows|columns>_<squares|deviations|min>_f32`. (The smallest integer is the
largest in another order, see _Writer.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir

from toolchain.micro import wide as microkernel_wide
from toolchain.micro.builder import (
    _F32,
    _I8,
    _I32,
    _at,
    _filled,
    _function,
    _i32,
    _loop,
)
from toolchain.spec import SpecError
from toolchain.targets import Target

_I64 = ir.IntType(64)
_ELEMENTS = {"f32": _F32, "i8": _I8, "i32": _I32, "i64": _I64}
_WIDER = {"f32": _F32, "i8": _I32, "i32": _I64, "i64": _I64}
_NAME = (
    r"micro_(rows|columns)_(?:(sum|product|max)_(f32|i8|i32|i64)"
    r"|(squares|deviations|min)_(f32))"
)
_INF = float("inf")
_INFINITE, _LOWEST = 0x7F800000, 0xFF800000  # the bits of infinities
STEP = 8  # vectors of a row that are taken together
STRIP = 1024  # columns whose results stay in L1


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(_NAME, name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            "micro_<rows|columns>_<sum|product|max>_<f32|i8|i32|i64> or "
            "micro_<rows|columns>_<squares|deviations|min>_f32"
        )
    form, kind, element = filter(None, match.groups())
    fold = Fold(kind, element, target)
    if form == "rows":
        Rows(module, name, fold).emit()
    else:
        from toolchain.micro.columns import Columns  # which builds on this module

        Columns(module, name, fold).emit()


@dataclass(frozen=True)
class Fold:
    """kind: sum, product, max, min, squares or deviations; element: of x, the result.

    squares, deviations: the sums of x^2 and (x - extra)^2.

    Sums of integers are wider than their elements, for means: their low bits are those
    of the sum in its own width.
    """

    kind: str
    element: str
    target: Target

    @property
    def scalar(self) -> Any:
        """Type of an element."""
        return _ELEMENTS[self.element]

    @property
    def total(self) -> Any:
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
    def empty(self) -> Any:
        """The fold of nothing, as a scalar."""
        if self.kind == "product":
            return ir.Constant(self.total, 1)
        if not self.extreme:
            return ir.Constant(self.total, 0)
        if self.element == "f32":
            return ir.Constant(_F32, -_INF if self.kind == "max" else _INF)
        return ir.Constant(self.total, -(1 << (8 * self.bytes - 1)))

    def of(self, build: Any, a: Any, b: Any) -> Any:
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

    def choice(self, build: Any, a: Any, b: Any) -> Any:
        """The larger or smaller without regard to a NaN in b: one instruction.

        Where the terms' sum, one more, is not NaN either, none was there.
        """
        x, y = (a, b) if self.kind == "max" else (b, a)
        return build.select(build.fcmp_ordered("<", x, y), b, a)


def _lanes(value: Any) -> int:
    return int(getattr(value.type, "count", 1))


class _Writer:
    """Writes a function; its `extra` is the last of its arguments.

    extra: what a sum is divided by; the bits of what deviations are from; for an
    extreme of integers what makes the largest of each, by exclusive or: -1 turns their
    order round, the sign's bit is for unsigned ones.
    """

    sizes: tuple[str, ...]

    def __init__(self, module: Any, name: str, fold: Fold) -> None:
        self.fold = fold
        self.function = _function(module, name, ("x", "o", *self.sizes, "extra"))
        # Whole steps are written; LLVM would add a vector loop for each rest.
        self.function.attributes.add("optsize")
        self.argument = {a.name: a for a in self.function.args}
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.lanes = 4 if fold.element == "f32" else 1
        if fold.target.has("simd128"):
            self.lanes = 16 // fold.bytes
        # The sum of results, as many at a time as are written.
        self.noted_lanes = self.lanes if "width" in self.sizes else 1
        self.noted = self.variable(self.kind(_F32, self.noted_lanes))
        zero = ir.Constant(self.kind(_F32, self.noted_lanes), None)
        self.build.store(zero, self.noted)

    def emit(self) -> None:
        """The function."""
        raise NotImplementedError

    def loop(self, start: Any, end: Any, step: int, body: Any) -> Any:
        """Emit body(i) for i = start, start + step, ... < end; the i after that."""
        return _loop(self.function, self.build, start, end, step, body)

    def kind(self, scalar: Any, lanes: int) -> Any:
        """A vector's type, or a scalar's."""
        return scalar if lanes == 1 else ir.VectorType(scalar, lanes)

    def variable(self, kind: Any) -> Any:
        """A place that LLVM makes a register of."""
        with self.build.goto_entry_block():
            place = self.build.alloca(kind)
        place.type = ir.PointerType()  # llvmlite gives it a type of its own
        return place

    def splat(self, value: Any, lanes: int) -> Any:
        """The scalar in every lane."""
        return _filled(self.build, value, self.kind(value.type, lanes))

    def turned(self, value: Any) -> Any:
        """An integer in the order of which the largest is wanted, or back."""
        fold, build = self.fold, self.build
        if not fold.extreme or fold.element == "f32":
            return value
        extra, lanes = self.argument["extra"], _lanes(value)
        if fold.bytes == 1:
            extra = build.trunc(extra, fold.scalar)
        elif fold.bytes == 8:
            extra = build.sext(extra, fold.scalar)
        return build.xor(value, self.splat(extra, lanes))

    def load(self, pointer: Any, offset: int, lanes: int) -> Any:
        """A term, or a vector of them; offset: elements, constant."""
        fold = self.fold
        at = _at(self.build, pointer, offset * fold.bytes)
        kind = self.kind(fold.scalar, lanes)
        return self.term(self.build.load(at, typ=kind, align=fold.bytes))

    def consecutive(self, pointer: Any, count: int) -> list[Any]:
        """Vectors of terms that lie one after the other."""
        return [self.load(pointer, v * self.lanes, self.lanes) for v in range(count)]

    def each_step(self, source: Any, body: Callable[[Any, list[Any]], None]) -> None:
        """Emit body(address, vectors there) over a row of `depth` elements.

        The row fills a step; the first two may overlap, so that nothing is left. The
        address counts: an index that must not be negative took five instructions of
        31 more.
        """
        build, n, size = self.build, self.argument["depth"], STEP * self.lanes
        head, inside, after = (
            self.function.append_basic_block(name)
            for name in ("step_head", "step", "steps_done")
        )
        row = build.ptrtoint(source, _I32)
        body(row, self.consecutive(source, STEP))
        first = build.and_(build.sub(n, _i32(1)), _i32(size - 1))
        start, end = (
            build.add(row, build.mul(count, _i32(self.fold.bytes)))
            for count in (build.add(first, _i32(1)), n)
        )
        before = build.block
        build.branch(head)
        build.position_at_end(head)
        address = build.phi(_I32)
        address.add_incoming(start, before)
        build.cbranch(build.icmp_signed("!=", address, end), inside, after)
        build.position_at_end(inside)
        body(address, self.consecutive(build.inttoptr(address, source.type), STEP))
        following = build.add(address, _i32(size * self.fold.bytes))
        address.add_incoming(following, build.block)
        build.branch(head)
        build.position_at_end(after)

    def term(self, x: Any) -> Any:
        """What is folded, of an element or a vector of them."""
        build, fold, lanes = self.build, self.fold, _lanes(x)
        if fold.kind == "deviations":
            shift = build.bitcast(self.argument["extra"], _F32)
            x = build.fsub(x, self.splat(shift, lanes))
        if fold.kind in ("squares", "deviations"):
            return build.fmul(x, x, flags=fold.flags)
        wide = self.kind(fold.total, lanes)
        return build.sext(x, wide) if wide != x.type else self.turned(x)

    def result(self, total: Any) -> Any:
        """What is written of a total."""
        fold, build = self.fold, self.build
        extra, lanes = self.argument["extra"], _lanes(total)
        if fold.kind != "sum":
            return self.turned(total)
        if fold.element == "f32":
            return build.fdiv(total, self.splat(build.sitofp(extra, _F32), lanes))
        if fold.total == _I64:
            extra = build.sext(extra, _I64)
        total = build.sdiv(total, extra)
        return total if total.type == fold.scalar else build.trunc(total, fold.scalar)

    def note(self, result: Any) -> None:
        """Add a result up with the others: an infinity or NaN among them stays."""
        if self.fold.overflows:
            seen = self.build.load(self.noted, typ=result.type)
            self.build.store(self.build.fadd(seen, result), self.noted)

    def again_widely(self, *sizes: Any) -> None:
        """Fold anew, in float64, the results that left float32, if there are any.

        sizes: results in all and of a row, elements of a fold and from one to the next.
        """
        build, fold = self.build, self.fold
        if not fold.overflows:
            return
        name = f"micro_wide_{fold.kind}"
        microkernel_wide.emit(build.module, name, fold.target)
        kind = self.kind(_F32, self.noted_lanes)
        total = self.across(build.load(self.noted, typ=kind), build.fadd)
        x, o, extra = (self.argument[a] for a in ("x", "o", "extra"))
        with build.if_then(microkernel_wide.beyond(build, total)):
            build.call(build.module.get_global(name), [x, o, *sizes, extra])

    def _any(self, lanes: Any) -> Any:
        mask = self.build.bitcast(lanes, ir.IntType(self.lanes))
        return self.build.icmp_signed("!=", mask, ir.Constant(mask.type, 0))

    def across(self, vector: Any, fold: Callable[[Any, Any], Any]) -> Any:
        """The fold of a vector's lanes."""
        lanes = _lanes(vector)
        half = lanes // 2
        while half:
            # Lanes that nobody needs any more are folded too: vectors stay whole.
            places = [half + i % half for i in range(lanes)]
            mask = ir.Constant(ir.VectorType(_I32, lanes), places)
            vector = fold(vector, self.build.shuffle_vector(vector, vector, mask))
            half //= 2
        if isinstance(vector.type, ir.VectorType):
            return self.build.extract_element(vector, _i32(0))
        return vector

    def with_retry(
        self, quick: Any, exact: Any, attempt: Callable[[Any, Any], None]
    ) -> None:
        """Emit attempt(quick, sum of all that it chose from).

        Where that sum is NaN at its end, NaN may be there: it is done again as `exact`.
        """
        build, fold = self.build, self.fold
        if not fold.chooses:
            return attempt(quick, None)
        way = self.variable(_I32)
        kind = self.kind(_F32, self.lanes)
        nan = self.variable(kind)
        build.store(quick, way)
        again = self.function.append_basic_block("again")
        done = self.function.append_basic_block("done")
        build.branch(again)
        build.position_at_end(again)
        build.store(ir.Constant(kind, None), nan)
        attempt(build.load(way, typ=_I32), nan)
        total = self.across(build.load(nan, typ=kind), build.fadd)
        build.store(exact, way)
        build.cbranch(build.fcmp_unordered("uno", total, total), again, done)
        build.position_at_end(done)
        return None

    def sum_for_nan(self, nan: Any, terms: list[Any]) -> None:
        """Add up what a choice is made from."""
        build = self.build
        total = build.load(nan, typ=terms[0].type)
        build.store(build.fadd(total, _in_pairs(build.fadd, terms)), nan)


def _in_pairs(fold: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    while len(values) > 1:
        half = len(values) // 2
        pairs = zip(values[:half], values[half:], strict=True)
        values = [fold(a, b) for a, b in pairs]
    return values[0]


class Rows(_Writer):
    """i32 (x, o, outer, n, extra): o[i] = the fold of x[i, r] over r < n."""

    sizes = ("outer", "depth")

    def emit(self) -> None:
        """A loop over rows, with three for each: by wide steps, vectors, elements."""
        outer = self.argument["outer"]
        self.loop(_i32(0), outer, 1, self._row)
        self.again_widely(outer, _i32(1), self.argument["depth"], _i32(1))
        self.build.ret(_i32(0))

    def _row(self, i: Any) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        size = _i32(fold.bytes)
        source = _at(build, self.argument["x"], build.mul(build.mul(i, n), size))
        value = self.variable(fold.total)
        self._fold(source, value)
        out = _at(build, self.argument["o"], build.mul(i, size))
        result = self.result(build.load(value, typ=fold.total))
        build.store(result, out, align=fold.bytes)
        self.note(result)

    def _fold(self, source: Any, value: Any) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        kind = self.kind(fold.total, self.lanes)
        total = self.variable(kind)
        exact = partial(fold.of, build)
        build.store(self.splat(fold.empty, self.lanes), total)

        def step(r: Any, vectors: int) -> None:
            terms = self._terms(source, r, vectors)
            seen = exact(build.load(total, typ=kind), _in_pairs(exact, terms))
            build.store(seen, total)

        def rest(r: Any) -> None:
            at = _at(build, source, build.mul(r, _i32(fold.bytes)))
            seen = exact(build.load(value, typ=fold.total), self.load(at, 0, 1))
            build.store(seen, value)

        at: Any = _i32(0)
        if fold.chooses:
            at = self._extreme(source, total)
        for count in (8, 1) if fold.element == "f32" and not fold.chooses else (1,):
            last = build.sub(n, _i32(count * self.lanes - 1))
            at = self.loop(at, last, count * self.lanes, partial(step, vectors=count))
        build.store(self.across(build.load(total, typ=kind), exact), value)
        if self.lanes > 1:
            self.loop(at, n, 1, rest)

    def _terms(self, source: Any, r: Any, vectors: int) -> list[Any]:
        at = _at(self.build, source, self.build.mul(r, _i32(self.fold.bytes)))
        return self.consecutive(at, vectors)

    def _extreme(self, source: Any, total: Any) -> Any:
        """Fold the row into `total` by whole steps; where what is left starts.

        As integers, the largest signed one is the largest float that is not negative
        or a NaN, and the largest unsigned one the lowest negative float or a NaN: both
        are less than a comparison of floats and one for NaN, which share two of four
        pipes. Where that does not tell, as all are negative, floats are compared; NaN
        leaves the row to exact steps.
        """
        build, fold, n = self.build, self.fold, self.argument["depth"]
        floats, bits = self.kind(_F32, self.lanes), self.kind(_I32, self.lanes)
        low, high = self.variable(bits), self.variable(bits)
        for place, start in ((low, _LOWEST), (high, 0)):
            build.store(self.splat(_i32(start), self.lanes), place)
        enough = build.icmp_signed(">=", n, _i32(STEP * self.lanes))

        def compared(_: Any, terms: list[Any]) -> None:
            terms = [build.bitcast(x, bits) for x in terms]
            for place, of in ((low, build.icmp_signed), (high, build.icmp_unsigned)):
                larger = partial(_larger, build, of)
                seen = larger(build.load(place, typ=bits), _in_pairs(larger, terms))
                build.store(seen, place)

        def chosen(_: Any, terms: list[Any]) -> None:
            choose = partial(fold.choice, build)
            seen = choose(build.load(total, typ=floats), _in_pairs(choose, terms))
            build.store(seen, total)

        with build.if_then(enough):
            self.each_step(source, compared)
        signed, unsigned = build.load(low, typ=bits), build.load(high, typ=bits)
        zero, empty = ir.Constant(bits, None), self.splat(fold.empty, self.lanes)
        most, least = (self.splat(_i32(v), self.lanes) for v in (_INFINITE, _LOWEST))
        nan = build.or_(
            build.icmp_signed(">", signed, most),
            build.icmp_unsigned(">", unsigned, least),
        )
        sign, key = (">=", signed) if fold.kind == "max" else ("<", unsigned)
        known = build.icmp_signed(sign, key, zero)
        build.store(build.select(known, build.bitcast(key, floats), empty), total)
        some_nan, some_known = self._any(nan), self._any(known)
        told = build.or_(some_nan, some_known)
        with build.if_then(build.and_(enough, build.not_(told))):
            self.each_step(source, chosen)
        seen = build.load(total, typ=floats)
        build.store(build.select(some_nan, empty, seen), total)
        done = build.and_(enough, build.not_(some_nan))
        return build.select(done, n, _i32(0))


def _larger(build: Any, compare: Any, a: Any, b: Any) -> Any:
    return build.select(compare(">", a, b), a, b)
