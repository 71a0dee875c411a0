"""Texts of sizes, as manifests and files have them, back to sizes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from toolchain.graph.sizes import Size, floor_div, maximum, minimum, named, remainder
from toolchain.spec import SpecError

_FUNCTIONS: dict[str, Callable[..., Size]] = {"min": minimum, "max": maximum}
_SYNTAX: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: floor_div,
    ast.Mod: remainder,
}


def parse(text: str, known: Mapping[str, Size] | None = None) -> Size:
    """The size that a text says. known: sizes of names; others are `named`.

    Errors: SpecError for a text that is no expression over names.
    """
    try:
        return _parsed(ast.parse(text, mode="eval").body, known or {})
    except (SyntaxError, ValueError, ZeroDivisionError):
        raise SpecError(
            f"{text!r} is no size; use whole numbers, names, +, -, *, //, %, min, max"
        ) from None


def _parsed(node: ast.expr, known: Mapping[str, Size]) -> Size:
    match node:
        case ast.Name(name):
            return known[name] if name in known else named(name)
        case ast.Constant(int(number)) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(ast.USub(), operand):
            return -_parsed(operand, known)
        case ast.BinOp(left, operation, right) if type(operation) in _SYNTAX:
            a, b = _parsed(left, known), _parsed(right, known)
            return _SYNTAX[type(operation)](a, b)
        case ast.Call(ast.Name(name), [*arguments], []) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_parsed(a, known) for a in arguments))
    raise ValueError
