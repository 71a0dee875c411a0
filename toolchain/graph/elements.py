"""Elements: what is known of small tensors of integers before the model runs.

Exporters compute shapes by nodes: Shape, Gather, Mul, Concat, Reshape. Here these nodes
are computed over sizes, by arrays of objects: numbers, expressions, and None where an
element is unknown. Conditions are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.calls import numbers_of
from toolchain.graph.graph import IF, SHAPE, VIEWS, Node, Value
from toolchain.graph.references import referred
from toolchain.graph.sizes import (
    Size,
    at_least,
    bounds,
    equal,
    floor_div,
    maximum,
    minimum,
    remainder,
)
from toolchain.graph.views import shape_part

_STEPS = (("start", 0), ("delta", 1))  # attributes of range, with defaults
MOST = 64  # elements of a tensor that are followed
DTYPES = ("int64", "int32", "bool")

Elements: TypeAlias = "NDArray[np.object_]"
Element: TypeAlias = "Size | None"


def elements(value: Value | None) -> Elements | None:
    """The elements of a value in its shape; None where it is large, or no integers."""
    if value is None or value.dtype not in DTYPES or value.known is None:
        return None
    count = int(np.prod(value.known, dtype=np.int64))
    if count > MOST:
        return None
    flat: Sequence[Element] = value.sizes or [None] * count
    if value.data is not None:
        flat = [int(n) for n in value.data.ravel().tolist()]
    return _array(flat).reshape(value.known)


def set_elements(node: Node) -> None:
    """Set `sizes` of a node's outputs, where some of their elements are known."""
    for value in node.outputs:
        value.sizes = None
    if not any(v.dtype in DTYPES for v in node.outputs):
        return
    for value, found in zip(node.outputs, _results(node), strict=False):
        if found is None or value.dtype not in DTYPES or found.size > MOST:
            continue
        flat = [_fitted(n, value.dtype) for n in found.ravel()]
        if value.known == found.shape and (
            not flat or any(n is not None for n in flat)
        ):
            value.sizes = tuple(flat)


def constants(node: Node) -> list[Value] | None:
    """The outputs as constants, where all their elements are numbers."""
    found = []
    for value in node.outputs:
        numbers = [n for n in value.sizes or () if isinstance(n, int)]
        if value.known is None or value.sizes is None:
            return None
        if len(numbers) < len(value.sizes):
            return None
        data = np.array(numbers, value.dtype).reshape(value.known)
        found.append(Value.constant(value.name, data))
    return found


def _results(node: Node) -> list[Elements | None]:
    """What a node gives."""
    if node.op == SHAPE:
        x = node.inputs[0]
        shape = None if x is None else x.shape
        return [None if shape is None else _array(shape_part(shape, node.attributes))]
    if node.op == IF:
        branches = [[elements(v) for v in r.outputs] for r in node.regions]
        return [_agreed(found) for found in zip(*branches, strict=True)]
    if node.op == "range":
        return [_range(node)]
    if any(isinstance(a, Value) for a in node.attributes.values()):
        return []
    given = [elements(v) for v in node.inputs]
    pairs = zip(node.inputs, given, strict=True)
    if not given or any(v is not None and e is None for v, e in pairs):
        return []
    if node.op in VIEWS:
        known, source = node.output.known, given[0]
        return [None if known is None or source is None else source.reshape(known)]
    if node.op in _MOVING:
        return _moved(node, given)
    if node.op in _FUNCTIONS:
        return [_each(_FUNCTIONS[node.op](node), given)]
    return []


def _range(node: Node) -> Elements | None:
    """From start on by delta, where it is known how many there are."""
    start, delta = (numbers_of(node.attributes.get(n, d)) or [None] for n, d in _STEPS)
    known, a, step = node.output.known, start[0], delta[0]
    if known is None or known[0] > MOST or a is None or step is None:
        return None
    if isinstance(a, float) or isinstance(step, float):
        return None
    return _array([a + step * i for i in range(known[0])])


def _moved(node: Node, given: list[Elements | None]) -> list[Elements | None]:
    """What the operator's reference makes of arrays of objects."""
    arrays: list[NDArray[Any] | None] = list(given)
    out = [v.known for v in node.outputs]
    if any(k is None or np.prod(k, dtype=np.int64) > MOST for k in out):
        return []
    if node.op == "gather":
        indices = given[1]
        if indices is None or any(not isinstance(n, int) for n in indices.ravel()):
            return []
        arrays[1] = indices.astype("int64")
    reducing = node.op in ("reduce_sum", "reduce_prod")
    if reducing and any(n is None for n in given[0].ravel()):  # type: ignore[union-attr]
        return []
    return [np.asarray(r, dtype=object) for r in referred(node, arrays)]


def _each(function: Callable[..., Element], given: list[Elements | None]) -> Elements:
    """A function of elements, over arrays that broadcast."""
    arrays = [a for a in given if a is not None]
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)


def _array(flat: Sequence[Element]) -> Elements:
    found = np.empty(len(flat), dtype=object)
    found[:] = flat
    return found


def _agreed(found: Sequence[Elements | None]) -> Elements | None:
    """Elements that several arrays have in common."""
    first = found[0]
    if first is None or any(f is None or f.shape != first.shape for f in found):
        return None
    columns = zip(*(f.ravel() for f in found if f is not None), strict=True)
    flat = [c[0] if all(n == c[0] for n in c) else None for c in columns]
    return _array(flat).reshape(first.shape)


def _fitted(element: Element, dtype: str) -> Element:
    """An element as its dtype holds it; expressions are taken to fit."""
    if element is None or dtype == "bool":
        return element if element is None or isinstance(element, int) else None
    if not isinstance(element, int):
        return element
    bits = 8 * np.dtype(dtype).itemsize
    return (element + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


# -- functions of elements --


def _known(function: Callable[..., Element]) -> Callable[..., Element]:
    """A function that gives None where an argument is."""
    return lambda *given: None if None in given else function(*given)


def _quotient(a: Size, b: Size) -> Element:
    """Towards 0; 0 for a divisor of 0, as the operator has it."""
    if b == 0:
        return 0
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return floor_div(a, b) if at_least(a, 0) and at_least(b, 1) else None


def _rest(node: Node) -> Callable[[Size, Size], Element]:
    towards_zero = node.attributes.get("fmod", 0)

    def rest(a: Size, b: Size) -> Element:
        if b == 0:
            return 0
        if isinstance(a, int) and isinstance(b, int):
            quotient = _quotient(a, b) if towards_zero else a // b
            return None if quotient is None else a - quotient * b
        return remainder(a, b) if at_least(a, 0) and at_least(b, 1) else None

    return rest


def _condition(holds: bool | None) -> Element:
    return None if holds is None else int(holds)


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


def _absolute(a: Size) -> Element:
    if at_least(a, 0):
        return a
    return -a if at_least(0, a) else None


def _sign(a: Size) -> Element:
    low, high = bounds(a)
    signs = {(n > 0) - (n < 0) for n in (low, high)}
    return signs.pop() if len(signs) == 1 else None


def _where(condition: Element, x: Element, y: Element) -> Element:
    if condition is None:
        return x if x == y else None
    return x if condition else y


def _and(a: Element, b: Element) -> Element:
    return 0 if 0 in (a, b) else None if None in (a, b) else 1


def _or(a: Element, b: Element) -> Element:
    return 1 if 1 in (a, b) else None if None in (a, b) else 0


def _cast(node: Node) -> Callable[..., Element]:
    if node.output.dtype == "bool":
        return _known(lambda a: _condition(_not(equal(a, 0))))
    return _known(lambda a: a)


def _clip(node: Node) -> Callable[..., Element]:
    has_low = len(node.inputs) > 1 and node.inputs[1] is not None

    def clip(x: Size, *limits: Size) -> Element:
        raised = maximum(x, limits[0]) if has_low else x
        return minimum(raised, *limits[1 if has_low else 0 :])

    return _known(clip)


def _plain(
    function: Callable[..., Element],
) -> Callable[[Node], Callable[..., Element]]:
    return lambda _: _known(function)


# Operators whose references take arrays of objects.
_MOVING = (
    *("concat", "expand", "gather", "reshape", "slice", "split", "tile", "transpose"),
    *("reduce_prod", "reduce_sum"),
)
_FUNCTIONS: dict[str, Callable[[Node], Callable[..., Element]]] = {
    "abs": _plain(_absolute),
    "add": _plain(lambda a, b: a + b),
    "cast": _cast,
    "clip": _clip,
    "div": _plain(_quotient),
    "equal": _plain(lambda a, b: _condition(equal(a, b))),
    "greater": _plain(lambda a, b: _condition(_not(at_least(b, a)))),
    "greater_or_equal": _plain(lambda a, b: _condition(at_least(a, b))),
    "identity": _plain(lambda a: a),
    "less": _plain(lambda a, b: _condition(_not(at_least(a, b)))),
    "less_or_equal": _plain(lambda a, b: _condition(at_least(b, a))),
    "logical_and": lambda _: _and,
    "logical_not": _plain(lambda a: 1 - a),
    "logical_or": lambda _: _or,
    "logical_xor": _plain(lambda a, b: int(a != b)),
    "maximum": _plain(maximum),
    "minimum": _plain(minimum),
    "mod": lambda node: _known(_rest(node)),
    "mul": _plain(lambda a, b: a * b),
    "neg": _plain(lambda a: -a),
    "relu": _plain(lambda a: maximum(a, 0)),
    "sign": _plain(_sign),
    "sub": _plain(lambda a, b: a - b),
    "where": lambda _: _where,
}
