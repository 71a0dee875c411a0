"""What a function of toolchain.spec.math is: bindings, limits, a registry by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeAlias

from toolchain.spec.tvm import Expr, Var, tir

P = ParamSpec("P")
Wide: TypeAlias = Expr  # annotates parameters of float64; others are float32


def dtype_of(x: Expr) -> str:
    """Dtype of an expression, as TVM spells it."""
    return str(x.expr_ty().dtype)


class Limit(NamedTuple):
    """What the values of an int32 must hold to: folding them leaves `bound` as it is.

    fold: LLVM's name of the operation. free: how many of the lowest bits may change.
    """

    value: Expr
    fold: str
    bound: int
    free: int = 0


class Let:
    """The bindings of one expression, in order: `v = let(value)` names a value.

    limits: where a short form of a function holds. fused: whether multiply-adds are.
    """

    def __init__(self, fused: bool = False) -> None:
        self.fused = fused
        self._bound: list[tuple[Var, Expr]] = []
        self.limits: list[Limit] = []

    def __call__(self, value: Expr) -> Expr:
        """Bind `value` to a new variable and return that."""
        var = tir.Var(f"t{len(self._bound)}", dtype_of(value))
        self._bound.append((var, value))
        return var

    def within(
        self, value: Expr, least: int | None = None, most: int | None = None
    ) -> None:
        """Say that a short form holds only for values of an int32 in a range."""
        if least is not None:
            self.limits.append(Limit(value, "smin", least))
        if most is not None:
            self.limits.append(Limit(value, "smax", most))

    def from_base(self, value: Expr, base: int, bits: int) -> None:
        """Say that a short form holds only for base <= value < base + 2^bits.

        One operation a vector where `within` takes two; base: a multiple of 2^bits.
        Values that lack bits of base it does not see: where they matter, see `having`.
        """
        self.limits.append(Limit(value, "or", base, bits))

    def having(self, value: Expr, base: int) -> None:
        """Say that a short form holds only for values with all bits of base."""
        self.limits.append(Limit(value, "and", base))

    def around(self, result: Expr) -> Expr:
        """Put every binding around `result`."""
        for var, value in reversed(self._bound):
            result = tir.Let(var, value, result)
        return result


def bind(value: Expr, body: Callable[[Expr], Expr]) -> Expr:
    """`body(v)` with v bound to `value`: computed once, however often body uses it."""
    let = Let()
    return let.around(body(let(value)))


SYMBOL = "ops_math_"  # and a name: a function of this file in LLVM IR
_DEFINITIONS: dict[str, Callable[..., Expr]] = {}
_SHORT: dict[str, Callable[..., Expr]] = {}


def math_function(
    body: Callable[Concatenate[Let, P], Expr],
) -> Callable[P, Expr]:
    """Turn `f(let, x, ...)` into `f(x, ...)`: a call of a function with that body."""
    name = body.__name__
    _DEFINITIONS[name] = body

    @wraps(body)
    def call(*args: P.args, **kwargs: P.kwargs) -> Expr:
        del kwargs
        return tir.call_pure_extern("float32", f"{SYMBOL}{name}", *args)

    del call.__wrapped__  # its signature shows `let`
    return call


def short_form(of: Callable[P, Expr]) -> Callable[[Callable[..., Expr]], None]:
    """Register a shorter body of a function, for operands within its let.within()."""

    def register(body: Callable[..., Expr]) -> None:
        _SHORT[of.__name__] = body

    return register


class Definition(NamedTuple):
    """A function's parameters (variables), result and limits of operands."""

    parameters: list[Var]
    result: Expr
    limits: list[Limit]


def has_short(name: str) -> bool:
    """Whether a function of this file has a short form."""
    return name in _SHORT


def definition(name: str, short: bool = False, fused: bool = False) -> Definition:
    """A function of this file, or its short form.

    fused: where multiply-adds are one operation, whose fastest formula may be another.
    """
    body, let = (_SHORT if short else _DEFINITIONS)[name], Let(fused)
    _, *given = inspect.signature(body).parameters.values()
    parameters = [
        tir.Var(p.name, "float64" if p.annotation == "Wide" else "float32")
        for p in given
    ]
    result = let.around(body(let, *parameters))
    return Definition(parameters, result, let.limits)
