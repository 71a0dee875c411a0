"""Suggestions: what errors advise to give for inputs and sizes, such that it works.

Sizes follow from the weights that read an input, where these say them, and from each
other: exporters name a size by an expression of others, such as "n + 1".
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# What a size is likely to be, by a part of its name, and for the others by its axis.
_USUAL = {"height": 224, "width": 224, "seq": 128, "len": 128, "time": 128}
_LONG, _WIDE = 128, 224

_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{"floor": math.floor, "ceil": math.ceil, "ceiling": math.ceil},
    **{"max": max, "min": min, "int": int},
}


def _value(node: ast.expr, sizes: Mapping[str, Any]) -> Any:
    """A size's expression. Errors: KeyError, TypeError for what is none."""
    match node:
        case ast.Constant(value=int()):
            return node.value
        case ast.Name():
            return sizes[node.id]
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, sizes)
        case ast.BinOp():
            sides = (_value(node.left, sizes), _value(node.right, sizes))
            return _OPERATIONS[type(node.op)](*sides)
        case ast.Call(func=ast.Name(id=name)):
            return _FUNCTIONS[name.lower()](*(_value(a, sizes) for a in node.args))
    raise TypeError(ast.dump(node))


def _parsed(name: str) -> tuple[ast.expr, set[str]] | None:
    """The expression that a size's name is, and the sizes in it; None for a name."""
    try:
        tree = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(tree, ast.Name | ast.Constant):
        return None
    called = {n.func for n in ast.walk(tree) if isinstance(n, ast.Call)}
    names = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n not in called
    }
    return (tree, names) if names else None


def sizes_by_name(
    likely: Mapping[str, int], given: Mapping[str, int]
) -> dict[str, int]:
    """A size for each open name; a name that is an expression of others follows them.

    likely: what each is by itself. given: sizes that the user gives.
    """
    expressions = {n: p for n in likely if (p := _parsed(n)) is not None}
    parts = {n for _, names in expressions.values() for n in names}
    plain = {n: k for n, k in likely.items() if n not in expressions}
    for base in (1, _LONG):  # n - 1 must be 1 at least
        sizes = dict.fromkeys(parts, base) | plain
        sizes |= {n: max(k, base) for n, k in plain.items() if n in parts}
        sizes |= given
        try:
            found = {n: _value(t, sizes) for n, (t, _) in expressions.items()}
        except (ArithmeticError, KeyError, TypeError, ValueError):
            break
        if all(k >= 1 and k == int(k) for k in found.values()):
            return {n: int(found.get(n, sizes.get(n, 0))) for n in likely}
    return dict(likely)


def likely_size(name: str, axis: int, rank: int) -> int:
    """What an open size is likely to be."""
    for part, number in _USUAL.items():
        if part in name.lower():
            return number
    return 1 if not axis else _WIDE if rank > 3 else _LONG


def sizes_by_weights(graph: Any) -> dict[tuple[str, int], int]:
    """Sizes of inputs that weights say, by the input's name and the axis from its end.

    Those of channels are counted from the front: axis 1.
    """
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    found: dict[tuple[str, int], int] = {}
    for node in graph.node:
        if len(node.input) < 2 or node.input[1] not in weights:
            continue
        shape = weights[node.input[1]]
        attributes = {a.name: a.i for a in node.attribute}
        if node.op_type == "Conv" and len(shape) > 2:
            found[node.input[0], 1] = shape[1] * attributes.get("group", 1)
        elif node.op_type == "ConvTranspose" and len(shape) > 2:
            found[node.input[0], 1] = shape[0]
        elif node.op_type == "MatMul" and len(shape) > 1:
            found[node.input[0], -1] = shape[-2]
        elif node.op_type == "Gemm" and len(shape) == 2:
            axis = 0 if attributes.get("transA") else -1
            found[node.input[0], axis] = shape[bool(attributes.get("transB"))]
    return found


def numbers(
    shape: Sequence[int], dtype: str, node: Any, place: int, data: Sequence[int]
) -> str:
    """Elements of an input that is to be constant, as `--value` takes them.

    node, place: which input of which node it is (place < 0: it is none itself). data:
    the shape of the node's first input.
    """
    count = math.prod(shape)
    some = ["true" if dtype == "bool" else "1"] * count
    kind = (node.op_type, place)
    if kind == ("Reshape", 1):
        some[:1] = ["-1"] * bool(count)
    elif kind == ("Squeeze", 1):
        some = [str(i) for i, n in enumerate(data) if n == 1][:count]
    elif kind == ("Split", 1):
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        rest = data[axis] - (count - 1)
        some[-1:] = [str(rest)] * bool(count)
    elif kind == ("Slice", 1):
        some = ["0"] * count
    elif _is_axes(node.op_type, place):
        some = [str(i) for i in range(count)]
    return ",".join(some) or "1"


def _is_axes(kind: str, place: int) -> bool:
    """Whether an input names axes, which must differ."""
    reduces = kind.startswith("Reduce") or kind == "Unsqueeze"
    return (reduces and place == 1) or (kind in ("Slice", "Pad") and place == 3)
