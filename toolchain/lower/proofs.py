"""Proofs: that what expressions divide, shift and index by is in its range."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from toolchain.lower.terms import (
    DIVISIONS,
    IF,
    LOAD,
    SUMS,
    children,
    constant,
    dtype_of,
    is_call,
    is_free,
    is_integer,
    is_linear,
    key_of,
    kind_of,
    made_by,
    negated,
    parts,
    slope,
    unequal,
    wrapping,
)
from toolchain.spec.tvm import Expr, Tensor, Var, tir

_ARITHMETIC = (*SUMS, "Min", "Max", *DIVISIONS)
_CONDITIONS = ("And", "Or", "EQ", "NE", "LT", "LE", "GT", "GE")
_SHIFTS = ("LShift", "RShift")
_WRAPS = (
    "it reads {0} at the remainder or quotient of a sum with {1}, which may pass 2^31 "
    "and wrap; take {1} % n first, where n is what the sum is divided by, or give an "
    "attribute minimum and maximum within 2^30"
)
NEAR = 2**30  # a sum of an index and what is no larger stays below 2^31
_MOST_LOOPS = 6  # whose first and last values are tried: 64 corners


@dataclass(frozen=True)
class Fault:
    """An expression that may trap or read outside, and why."""

    node: Expr
    text: str


class Checker:
    """Proves expressions by what is known where they stand."""

    def __init__(self, known: list[Expr], attributes: Iterable[Var] = ()) -> None:
        self.attributes = {key_of(variable) for variable in attributes}
        self.values: dict[Any, Expr] = {}
        self.loads: list[tuple[str, Expr]] = []
        self.ranges: list[tuple[Var, Expr, Expr]] = []
        # Conditions, and whether they hold for divisions too.
        self.known = [(self._plain(c), True) for c in known]
        self.always = len(self.known)
        self.inside = False

    def tensors(self, outputs: list[Tensor]) -> Iterator[Fault]:
        """Faults of all that outputs are made of."""
        for tensor in made_by(outputs, "ComputeOp"):
            for size in tensor.shape:
                yield from self.faults(size)
            with self._loops(tensor.op.axis):
                for body in tensor.op.body:
                    yield from self.faults(body)

    def faults(self, e: Expr) -> Iterator[Fault]:
        """Faults of an expression and of all in it, in the order of the text."""
        kind = kind_of(e)
        if kind == "Let":
            yield from self.faults(e.value)
            self.values[key_of(e.var)] = self._plain(e.value)
            yield from self.faults(e.body)
        elif kind == "Reduce":
            with self._loops(e.axis):
                for source in e.source:
                    yield from self.faults(source)
        elif kind == "Select" or is_call(e, IF):
            yield from self._branches(*parts(e), divisions=kind != "Select")
        else:
            for child in children(e):
                yield from self.faults(child)
            yield from self._fault(e, kind)

    def _branches(
        self, condition: Expr, yes: Expr, no: Expr, divisions: bool
    ) -> Iterator[Fault]:
        """A select computes both of its sides; TVM makes a branch only of its loads."""
        yield from self.faults(condition)
        plain = self._plain(condition)
        for holds, branch in ((plain, yes), (negated(plain), no)):
            self.known.append((holds, divisions))
            yield from self.faults(branch)
            self.known.pop()

    def _fault(self, e: Expr, kind: str) -> Iterator[Fault]:
        if kind in DIVISIONS and is_integer(e):
            yield from self._division(e)
        elif kind in _SHIFTS:
            yield from self._shift(e)
        elif is_call(e, LOAD):
            yield from self._read(e, e.args[0], list(e.args[1:]))

    def _shift(self, e: Expr) -> Iterator[Fault]:
        most = int("".join(filter(str.isdigit, dtype_of(e)))) - 1
        s = self._plain(e.b)
        if not self._proved((s >= 0, s <= most), self.known):
            by = self._shown(e.b)
            yield Fault(
                e,
                f"it shifts by {by}, which may be below 0 or above {most}; shift by "
                f"tir.max(tir.min({by}, {most}), 0), or give an attribute minimum=0 "
                f"and maximum={most}",
            )

    def _division(self, e: Expr) -> Iterator[Fault]:
        by, signed = self._shown(e.b), not dtype_of(e).startswith("uint")
        divisor = self._plain(e.b)
        if self._divides(divisor, self.known):
            if "[" not in by and kind_of(divisor) != "IntImm":
                plain = kind_of(divisor) == "Var"
                always = self._divides(divisor, self.known[: self.always])
                self.inside |= not (plain and always)
            return
        value = "0 or -1" if signed else "0"
        if "[" in by:
            advice = "use quotient of toolchain.spec.integers, which is 0 there"
        else:
            advice = (
                f"divide by tir.max({by}, 1), give an attribute minimum=1, or state "
                f"{by} >= 1 in requires"
            )
        yield Fault(
            e,
            f"it divides by {by}, which may be {value}: a call would trap; {advice}",
        )

    def _divides(self, by: Expr, known: list[tuple[Expr, bool]]) -> bool:
        """Whether there is a quotient by `by`, whatever is divided."""
        if kind_of(by) == "Select":
            condition, yes, no = parts(by)
            sides = ((condition, yes), (negated(condition), no))
            return all(self._divides(b, [*known, (c, True)]) for c, b in sides)
        zero, minus_one = (constant(v, by) for v in (0, -1))
        tests = [(by > zero,), (by < minus_one,), (unequal(by, 0), unequal(by, -1))]
        if dtype_of(by).startswith("uint"):
            tests = [(by > zero,), (unequal(by, 0),)]
        return any(self._proved(test, known) for test in tests)

    def _read(self, e: Expr, tensor: Tensor, indices: list[Expr]) -> Iterator[Fault]:
        for index, size in zip(indices, tensor.shape, strict=True):
            large = next(
                filter(self._is_large, map(self._plain, wrapping(index))), None
            )
            if large is not None:
                yield Fault(e, _WRAPS.format(tensor.op.name, self._shown(large)))
                return
            end = self._plain(constant(0, index) + size)
            at, most = self._shown(index), self._shown(size)
            lacking = []
            place = self._plain(index)
            if not self._holds(place, partial(operator.le, constant(0, place)), -1):
                lacking.append(f"{at} >= 0")
            if not self._holds(place, partial(operator.gt, end), 1):
                lacking.append(f"{at} < {most}")
            if lacking:
                places = ", ".join(map(self._shown, indices))
                yield Fault(
                    e,
                    f"it reads {tensor.op.name}[{places}], where "
                    f"{' and '.join(lacking)} may not hold; read it in "
                    f"tir.if_then_else(tir.all({', '.join(lacking)}), ..., 0), or "
                    "state in requires what makes it hold",
                )
                return

    def _is_large(self, term: Expr) -> bool:
        """Whether a term of int32 is an element or attribute, and maybe above NEAR."""
        if kind_of(term) != "Var" or dtype_of(term) != "int32":
            return False
        read = any(term.same_as(variable) for _, variable in self.loads)
        near = (term >= constant(-NEAR, term), term <= constant(NEAR, term))
        return (read or key_of(term) in self.attributes) and not self._proved(
            near, self.known, loads=True
        )

    def _holds(self, place: Expr, test: Callable[[Expr], Expr], side: int) -> bool:
        """Whether an index is right wherever the loops are.

        An index that is linear in each loop's variable is right for all of its values
        where it is right for the first and the last. side: 1 where larger indices are
        wrong, -1 where smaller ones are; it leaves one of the two to try where the
        index grows or falls with the variable.
        """
        if self._proved((test(place),), self.known, loads=True):
            return True
        before = list(self.ranges)
        holds = self._holds_at_ends(self._without_rests(place), test, side)
        self.ranges = before
        return holds

    def _holds_at_ends(
        self, place: Expr, test: Callable[[Expr], Expr], side: int
    ) -> bool:
        loops = [loop for loop in self.ranges if not is_free(place, loop[0])]
        if len(loops) > _MOST_LOOPS or not all(is_linear(place, v) for v, *_ in loops):
            return False
        ends = [
            [
                (v, value)
                for value, way in ((first, -1), (first + (n - 1), 1))
                if slope(place, v) * side != -way
            ]
            for v, first, n in loops
        ]
        return all(
            self._proved((test(self._with(place, corner)),), self.known, loads=True)
            for corner in product(*ends)
        )

    def _without_rests(self, e: Expr) -> Expr:
        """An expression with a variable from 0 to b - 1 for each a % b."""
        kind = kind_of(e)
        if kind == "FloorMod" and self._proved((e.b >= 1,), self.known, loads=True):
            rest = tir.Var("rest", dtype_of(e))
            self.ranges.append((rest, constant(0, e), e.b))
            return rest
        if kind in SUMS:
            return type(e)(self._without_rests(e.a), self._without_rests(e.b))
        return e

    def _with(self, e: Expr, values: Iterable[tuple[Var, Expr]]) -> Expr:
        """An expression for values of its variables."""
        before = dict(self.values)
        self.values |= {key_of(variable): value for variable, value in values}
        found = self._plain(e)
        self.values = before
        return found

    def _proved(
        self,
        conditions: tuple[Expr, ...],
        known: list[tuple[Expr, bool]],
        loads: bool = False,
    ) -> bool:
        """Whether conditions follow from what is known, for divisions or for loads."""
        from tvm.ir import Range
        from tvm.sym import Analyzer

        analyzer = Analyzer()
        with ExitStack() as scope:
            for condition, divisions in known:
                if divisions or loads:
                    scope.enter_context(analyzer.constraint_scope(condition))
            for variable, start, extent in self.ranges:
                analyzer.bind(variable, Range.from_min_extent(start, extent))
            return all(map(analyzer.can_prove, conditions))

    @contextmanager
    def _loops(self, axes: Any) -> Iterator[None]:
        """Inside loops: the variables are in their ranges, which are not empty."""
        with ExitStack() as loops:
            for a in axes:
                loops.enter_context(self._loop(a.var, a.dom.min, a.dom.extent))
            yield

    @contextmanager
    def _loop(self, variable: Var, first: Expr, count: Expr) -> Iterator[None]:
        """Inside a loop."""
        first, count = self._plain(first), self._plain(count)
        self.ranges.append((variable, first, count))
        self.known.append((count >= 1, True))
        yield
        self.ranges.pop()
        self.known.pop()

    def _plain(self, e: Expr) -> Expr:
        """An expression without loads and calls, which become variables."""
        kind = kind_of(e)
        if kind in ("IntImm", "FloatImm"):
            return e
        if kind == "Var":
            return self.values.get(key_of(e), e)
        if kind in _ARITHMETIC or kind in _CONDITIONS:
            return type(e)(self._plain(e.a), self._plain(e.b))
        if kind == "Not":
            return type(e)(self._plain(e.a))
        if kind == "Cast" and is_integer(e) and is_integer(e.value):
            return type(e)(dtype_of(e), self._plain(e.value))
        if kind == "Select":
            return type(e)(*map(self._plain, parts(e)))
        return self._unknown(e)

    def _unknown(self, e: Expr) -> Expr:
        """The variable that stands for a load or a call: equal ones have the same."""
        if not is_call(e, LOAD):
            return tir.Var("value", dtype_of(e))
        places = [self._shown(i) for i in e.args[1:]]
        name = f"{e.args[0].op.name}[{', '.join(places)}]"
        for shown, variable in self.loads:
            if shown == name and dtype_of(variable) == dtype_of(e):
                return variable
        return self._named(name, dtype_of(e))

    def _named(self, name: str, dtype: str) -> Expr:
        """A new variable, which texts show by a name."""
        variable = tir.Var(f"load{len(self.loads)}_", dtype)
        self.loads.append((name, variable))
        return variable

    def _shown(self, e: Expr) -> str:
        """An expression as the operator's file has it, nearly."""
        text = str(self._plain(e)).replace("T.", "")
        for name, variable in self.loads:
            text = text.replace(variable.name, name)
        return text
