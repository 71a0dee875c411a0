"""Formulas: output sizes of operators whose TE definition says them (collapse "exact").

The expressions of TVM in the shapes of the definition's outputs are made functions over
sizes that are known, expressions or unknown. A condition is 1 or 0, or an expression
that is. toolchain/lower/infer.py makes the runtime's function of the same expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from toolchain.graph.operators import operator
from toolchain.graph.sizes import (
    Size,
    floor_div,
    holds_at_least,
    maximum,
    minimum,
    remainder,
)
from toolchain.lower.te import Kernel
from toolchain.spec.tvm import Expr
from toolchain.targets import DEFAULT, TARGETS

Formula: TypeAlias = "Callable[[Mapping[str, Size | None]], Size | None]"


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


def compared(name: str) -> str:
    """What a variable is called where it is compared: there its limits count."""
    return f"{name}?"


def formula(e: Expr | int, inside: bool = False) -> Formula:
    """What an integer expression or a condition of TIR is, from sizes by name.

    inside: of a comparison.
    """
    if hasattr(e, "asobject"):  # `a == b` is an expression only when asked
        e = e.asobject()
    kind = type(e).__name__
    if isinstance(e, int) or kind == "IntImm":
        number = int(e)
        return lambda _: number
    if kind == "Var":
        name = compared(str(e.name)) if inside else str(e.name)
        return lambda known: known[name]
    if kind == "Cast":
        return formula(e.value, inside)
    if kind == "Not":
        inner = formula(e.a)
        return lambda known: _not(inner(known))
    if kind in ("Select", "Call"):
        return _selection(e, kind, inside)
    if kind not in _OPERATIONS:
        return lambda _: None
    inside = inside or kind in _COMPARISONS
    a, b = formula(e.a, inside), formula(e.b, inside)
    operation = _OPERATIONS[kind]
    return lambda known: operation(a(known), b(known))


def _selection(e: Expr, kind: str, inside: bool) -> Formula:
    if kind == "Select":
        parts = [e.condition, e.true_value, e.false_value]
    elif e.op.name in ("tirx.if_then_else", "tir.if_then_else"):
        parts = list(e.args)
    else:
        return lambda _: None
    condition = formula(parts[0])
    yes, no = (formula(part, inside) for part in parts[1:])

    def selected(known: Mapping[str, Size | None]) -> Size | None:
        holds = condition(known)
        if isinstance(holds, int):
            return yes(known) if holds else no(known)
        a, b = yes(known), no(known)
        if a == b:
            return a
        return None if holds is None or a is None or b is None else b + (a - b) * holds

    return selected


def _not(a: Size | None) -> Size | None:
    return None if a is None else 1 - a


def _and(a: Size | None, b: Size | None) -> Size | None:
    if a == 0 or b == 0:
        return 0
    return None if a is None or b is None else a * b


def _or(a: Size | None, b: Size | None) -> Size | None:
    return _not(_and(_not(a), _not(b)))


def _equal(a: Size, b: Size) -> Size:
    return holds_at_least(a, b) * holds_at_least(b, a)


def _quotient(a: Size, b: Size) -> Size | None:
    """Towards 0; definitions divide expressions that are never negative so."""
    if b == 0:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return floor_div(a, b)


def _rest(a: Size, b: Size) -> Size | None:
    quotient = _quotient(a, b)
    return None if quotient is None else a - quotient * b


_Operation: TypeAlias = "Callable[[Size | None, Size | None], Size | None]"


def _of_sizes(function: Callable[[Size, Size], Size | None]) -> _Operation:
    """A function of sizes, None where one of them is."""
    return lambda a, b: None if a is None or b is None else function(a, b)


_COMPARISONS = ("EQ", "NE", "GE", "LE", "GT", "LT")
_OPERATIONS: dict[str, _Operation] = {
    "Add": _of_sizes(lambda a, b: a + b),
    "Sub": _of_sizes(lambda a, b: a - b),
    "Mul": _of_sizes(lambda a, b: a * b),
    "Div": _of_sizes(_quotient),
    "Mod": _of_sizes(_rest),
    "FloorDiv": _of_sizes(lambda a, b: None if b == 0 else floor_div(a, b)),
    "FloorMod": _of_sizes(lambda a, b: None if b == 0 else remainder(a, b)),
    "Min": _of_sizes(minimum),
    "Max": _of_sizes(maximum),
    "EQ": _of_sizes(_equal),
    "NE": _of_sizes(lambda a, b: 1 - _equal(a, b)),
    "GE": _of_sizes(holds_at_least),
    "LE": _of_sizes(lambda a, b: holds_at_least(b, a)),
    "GT": _of_sizes(lambda a, b: 1 - holds_at_least(b, a)),
    "LT": _of_sizes(lambda a, b: 1 - holds_at_least(a, b)),
    "And": _and,
    "Or": _or,
}
