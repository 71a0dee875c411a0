"""Formulas: output sizes of operators whose TE definition says them (collapse "exact").

The expressions of TVM in the shapes of the definition's outputs are made functions over
sizes that are known, expressions or unknown. toolchain/lower/infer.py makes the
runtime's function of the same expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from toolchain.graph.operators import operator
from toolchain.graph.sizes import (
    Size,
    at_least,
    equal,
    floor_div,
    maximum,
    minimum,
    remainder,
)
from toolchain.lower.te import Kernel
from toolchain.spec.tvm import Expr
from toolchain.targets import DEFAULT, TARGETS

# What a size or a condition is; None where unknown.
Known: TypeAlias = "Size | bool | None"
Formula: TypeAlias = "Callable[[Mapping[str, Size | None]], Known]"


@dataclass(frozen=True)
class Formulas:
    """Sizes of each output, and what must hold with a text that says so."""

    outputs: list[list[Formula]]
    requirements: list[tuple[Formula, str]]


@cache
def formulas(name: str, variant: tuple[str, ...]) -> Formulas:
    """Of a variant of an operator. No target changes them."""
    found = operator(name)
    assert found.compute is not None
    kernel = Kernel(found, variant, TARGETS[DEFAULT], index_dtype="int64")
    outputs = found.compute(kernel)
    tensors = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    required = found.requires(kernel) if found.requires else []
    return Formulas(
        [[formula(size) for size in tensor.shape] for tensor in tensors],
        [(formula(condition), text) for condition, text in required],
    )


def formula(e: Expr | int) -> Formula:
    """What an integer expression or a condition of TIR is, from sizes by name."""
    if hasattr(e, "asobject"):  # `a == b` is an expression only when asked
        e = e.asobject()
    kind = type(e).__name__
    if isinstance(e, int) or kind == "IntImm":
        number = int(e)
        return lambda _: number
    if kind == "Var":
        name = str(e.name)
        return lambda known: known[name]
    if kind == "Cast":
        return formula(e.value)
    if kind == "Not":
        inner = formula(e.a)
        return lambda known: _not(inner(known))
    if kind in ("Select", "Call"):
        return _selection(e, kind)
    if kind not in _OPERATIONS:
        return lambda _: None
    a, b, operation = formula(e.a), formula(e.b), _OPERATIONS[kind]
    return lambda known: operation(a(known), b(known))


def _selection(e: Expr, kind: str) -> Formula:
    if kind == "Select":
        parts = [e.condition, e.true_value, e.false_value]
    elif e.op.name in ("tirx.if_then_else", "tir.if_then_else"):
        parts = list(e.args)
    else:
        return lambda _: None
    condition, yes, no = map(formula, parts)

    def selected(known: Mapping[str, Size | None]) -> Known:
        holds = condition(known)
        if holds is None:
            a, b = yes(known), no(known)
            return a if a == b else None
        return yes(known) if holds else no(known)

    return selected


def _not(a: Known) -> Known:
    return None if a is None else not a


def _and(a: Known, b: Known) -> Known:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _or(a: Known, b: Known) -> Known:
    return _not(_and(_not(a), _not(b)))


def _of_sizes(
    function: Callable[[Size, Size], Known],
) -> Callable[[Known, Known], Known]:
    """A function of sizes, None where one of them is."""
    return lambda a, b: None if a is None or b is None else function(a, b)


def _quotient(a: Size, b: Size) -> Known:
    """Towards 0; definitions divide expressions that are never negative so."""
    if b == 0:
        return None
    if isinstance(a, int) and a < 0:
        return -floor_div(-a, b)
    return floor_div(a, b)


def _rest(a: Size, b: Size) -> Known:
    quotient = _quotient(a, b)
    return None if quotient is None else a - quotient * b


_OPERATIONS: dict[str, Callable[[Known, Known], Known]] = {
    "Add": _of_sizes(lambda a, b: a + b),
    "Sub": _of_sizes(lambda a, b: a - b),
    "Mul": _of_sizes(lambda a, b: a * b),
    "Div": _of_sizes(_quotient),
    "Mod": _of_sizes(_rest),
    "FloorDiv": _of_sizes(lambda a, b: None if b == 0 else floor_div(a, b)),
    "FloorMod": _of_sizes(lambda a, b: None if b == 0 else remainder(a, b)),
    "Min": _of_sizes(minimum),
    "Max": _of_sizes(maximum),
    "EQ": _of_sizes(equal),
    "NE": _of_sizes(lambda a, b: _not(equal(a, b))),
    "GE": _of_sizes(at_least),
    "LE": _of_sizes(lambda a, b: at_least(b, a)),
    "GT": _of_sizes(lambda a, b: _not(at_least(b, a))),
    "LT": _of_sizes(lambda a, b: _not(at_least(a, b))),
    "And": _and,
    "Or": _or,
}
