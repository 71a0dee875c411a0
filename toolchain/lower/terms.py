"""Terms: what expressions are made of, and how they depend on a variable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolchain.spec.tvm import Expr, Tensor, Var, tir

DIVISIONS = ("Div", "Mod", "FloorDiv", "FloorMod")
SUMS = ("Add", "Sub", "Mul")
IF, LOAD = "if_then_else", "tensor_load"  # calls
_OPPOSITE = {"LT": "GE", "GE": "LT", "GT": "LE", "LE": "GT", "EQ": "NE", "NE": "EQ"}


def negated(condition: Expr) -> Expr:
    """The opposite of a condition, without Not, by which nothing is proved."""
    kind = kind_of(condition)
    if kind in _OPPOSITE:
        return getattr(tir, _OPPOSITE[kind])(condition.a, condition.b)
    if kind in ("And", "Or"):
        other = tir.Or if kind == "And" else tir.And
        return other(negated(condition.a), negated(condition.b))
    return condition.a if kind == "Not" else tir.Not(condition)


def unequal(e: Expr, value: int) -> Expr:
    """The condition that an expression is not a number."""
    return tir.NE(e, constant(value, e))


def is_free(e: Expr, variable: Var) -> bool:
    """Whether a variable does not occur in an expression."""
    if kind_of(e) == "Var":
        return bool(key_of(e) != key_of(variable))
    return all(is_free(child, variable) for child in children(e))


def is_linear(e: Expr, variable: Var) -> bool:
    """Whether an expression is linear in a variable, others fixed."""
    kind = kind_of(e)
    if kind == "Var" or is_free(e, variable):
        return True
    if kind in ("Add", "Sub"):
        return is_linear(e.a, variable) and is_linear(e.b, variable)
    if kind == "Mul":
        free, other = (e.a, e.b) if is_free(e.a, variable) else (e.b, e.a)
        return is_free(free, variable) and is_linear(other, variable)
    return False


def slope(e: Expr, variable: Var) -> int:
    """1 where a linear expression grows with a variable, -1 where it falls, else 0."""
    kind = kind_of(e)
    if kind == "Var":
        return int(not is_free(e, variable))
    if kind in ("Add", "Sub"):
        a, b = slope(e.a, variable), slope(e.b, variable)
        b = -b if kind == "Sub" else b
        if is_free(e.a, variable) or is_free(e.b, variable) or a == b:
            return a or b
    if kind == "Mul":
        for factor, other in ((e.a, e.b), (e.b, e.a)):
            if kind_of(factor) == "IntImm":
                sign = (factor.value > 0) - (factor.value < 0)
                return int(sign * slope(other, variable))
    return 0


def made_by(outputs: list[Tensor], kind: str) -> list[Tensor]:
    """The tensors that outputs are made of whose operation is of a kind."""
    found: dict[str, Tensor] = {}
    todo = list(outputs)
    while todo:
        tensor = todo.pop(0)
        if tensor.op.name not in found:
            found[tensor.op.name] = tensor
            todo.extend(tensor.op.input_tensors)
    return [t for t in found.values() if kind_of(t.op) == kind]


def children(e: Expr) -> list[Expr]:
    """What an expression is made of."""
    kind = kind_of(e)
    if kind == "Call":
        return [a for a in e.args if kind_of(a) != "Tensor"]
    if kind == "Reduce":
        return list(e.source)
    if kind == "Select":
        return list(parts(e))
    names = ("a", "b", "value", "body")
    found = [getattr(e, n) for n in names if hasattr(e, n)]
    return [c for c in found if hasattr(c, "expr_ty")]


def parts(e: Expr) -> tuple[Expr, Expr, Expr]:
    """Condition and sides of a select or of if_then_else."""
    if kind_of(e) == "Select":
        return e.condition, e.true_value, e.false_value
    condition, yes, no = e.args
    return condition, yes, no


def kind_of(e: Any) -> str:
    """The name of an expression's class."""
    return type(e).__name__


def name_of(e: Expr) -> str:
    """Name of the operation that a call is of, without its dialect's."""
    return str(getattr(e.op, "name", "")).rpartition(".")[2]


def is_call(e: Expr, name: str) -> bool:
    """Whether an expression is a call of an operation."""
    return kind_of(e) == "Call" and name_of(e) == name


def dtype_of(e: Expr) -> str:
    """Its dtype, as numpy spells it."""
    return str(e.expr_ty().dtype)


def is_integer(e: Expr) -> bool:
    """Whether its dtype is one of integers."""
    return "int" in dtype_of(e)


def constant(value: int, like: Expr) -> Expr:
    """A constant of another expression's dtype."""
    return tir.const(value, dtype_of(like))


def key_of(variable: Var) -> Any:
    """What tells variables, and buffers, apart."""
    return variable.__chandle__()


def wrapping(e: Expr) -> Iterator[Expr]:
    """Terms and factors of which an index takes the remainder or quotient."""
    if kind_of(e) in DIVISIONS and kind_of(e.a) in SUMS:
        todo = [e.a]
        while todo:
            part = todo.pop()
            if kind_of(part) in SUMS:
                todo += [part.a, part.b]
            else:
                yield part
    for child in children(e):
        yield from wrapping(child)
