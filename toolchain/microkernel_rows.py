"""Micro-kernels that fold rows and columns: what reductions and normalisations share.

A fold takes the steps that memory allows in an order of its own, which is the same in
every engine: eight vectors of a row in pairs before they meet the running result; of
columns, blocks of rows in registers before they meet those in L1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir

from toolchain.microkernel import _F32, _I8, _I32, _at, _filled, _function, _i32, _loop
from toolchain.spec import SpecError
from toolchain.targets import Target

_I64 = ir.IntType(64)
_ELEMENTS = {"f32": _F32, "i8": _I8, "i32": _I32, "i64": _I64}
_WIDER = {"f32": _F32, "i8": _I32, "i32": _I64, "i64": _I64}
_KINDS = "sum|squares|deviations|product|max|min"
_NAME = rf"micro_(rows|columns)_({_KINDS})_(f32|i8|i32|i64)"
_INF = float("inf")
STRIP = 1024  # columns whose results stay in L1


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    match = re.fullmatch(_NAME, name)
    if not match:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use "
            f"micro_<rows|columns>_<{_KINDS}>_<f32|i8|i32|i64>"
        )
    form, kind, element = match.groups()
    fold = Fold(kind, element, target)
    if form == "rows":
        Rows(module, name, fold).emit()
    else:
        from toolchain.microkernel_columns import Columns  # which builds on this module

        Columns(module, name, fold).emit()


@dataclass(frozen=True)
class Fold:
    """kind: of _KINDS; element: of x and the result.

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

    def across(self, vector: Any, fold: Callable[[Any, Any], Any]) -> Any:
        """The fold of a vector's lanes."""
        lanes = _lanes(vector)
        while lanes > 1:
            lanes //= 2
            first, second = (
                ir.Constant(ir.VectorType(_I32, lanes), [*range(at, at + lanes)])
                for at in (0, lanes)
            )
            halves = [
                self.build.shuffle_vector(vector, vector, half)
                for half in (first, second)
            ]
            vector = fold(*halves)
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
        self.loop(_i32(0), self.argument["outer"], 1, self._row)
        self.build.ret(_i32(0))

    def _row(self, i: Any) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        size = _i32(fold.bytes)
        source = _at(build, self.argument["x"], build.mul(build.mul(i, n), size))
        value = self.variable(fold.total)

        def attempt(wide: Any, nan: Any) -> None:
            self._fold(source, wide, nan, value)

        self.with_retry(n, _i32(0), attempt)
        out = _at(build, self.argument["o"], build.mul(i, size))
        result = self.result(build.load(value, typ=fold.total))
        build.store(result, out, align=fold.bytes)

    def _fold(self, source: Any, wide: Any, nan: Any, value: Any) -> None:
        build, fold, n = self.build, self.fold, self.argument["depth"]
        vectors = 8 if fold.element == "f32" else 1
        kind = self.kind(fold.total, self.lanes)
        total = self.variable(kind)
        exact = partial(fold.of, build)
        build.store(self.splat(fold.empty, self.lanes), total)

        def step(r: Any, vectors: int) -> None:
            at = _at(build, source, build.mul(r, _i32(fold.bytes)))
            terms = [self.load(at, v * self.lanes, self.lanes) for v in range(vectors)]
            choose = exact
            if nan is not None and vectors > 1:
                choose = partial(fold.choice, build)
                self.sum_for_nan(nan, terms)
            seen = choose(build.load(total, typ=kind), _in_pairs(choose, terms))
            build.store(seen, total)

        def rest(r: Any) -> None:
            at = _at(build, source, build.mul(r, _i32(fold.bytes)))
            seen = exact(build.load(value, typ=fold.total), self.load(at, 0, 1))
            build.store(seen, value)

        at: Any = _i32(0)
        for count in dict.fromkeys((vectors, 1)):
            last = build.sub(wide if count > 1 else n, _i32(count * self.lanes - 1))
            at = self.loop(at, last, count * self.lanes, partial(step, vectors=count))
        build.store(self.across(build.load(total, typ=kind), exact), value)
        if self.lanes > 1:
            self.loop(at, n, 1, rest)
