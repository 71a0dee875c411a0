"""Shapes: what is known of a node's outputs before the model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolchain.graph.calls import (
    Call,
    Shape,
    agreed,
    axis_of,
    count_of,
    numbers_of,
    same,
)
from toolchain.graph.collapses import shapes_of
from toolchain.graph.elements import set_elements
from toolchain.graph.graph import (
    FLATTEN,
    IF,
    LOOP,
    RESHAPE,
    SHAPE,
    SQUEEZE,
    UNSQUEEZE,
    Attribute,
    Node,
    Value,
)
from toolchain.graph.operators import operator
from toolchain.graph.sizes import Size, equal, maximum
from toolchain.graph.strided import reshaped
from toolchain.graph.views import shape_part
from toolchain.spec import Attribute as Declared
from toolchain.spec import SpecError


def infer(node: Node) -> None:
    """Set shape and sizes of a node's outputs, as far as they are known.

    Attributes that are constants become numbers. Errors: SpecError where no call of the
    node could succeed: sizes that differ, an axis that is not there.
    """
    node.attributes = {n: settled(node, n, a) for n, a in node.attributes.items()}
    for value, shape in zip(node.outputs, shapes(node), strict=False):
        value.shape = shape
    set_elements(node)


def shapes(node: Node) -> list[Shape]:
    """Shapes of a node's outputs. Errors: as infer."""
    if node.op in _OWN:
        return _OWN[node.op](node)
    return shapes_of(Call(node))


def settled(node: Node, name: str, given: Attribute) -> Attribute:
    """An attribute: numbers for a constant; one for a list where one is declared."""
    if isinstance(given, (list, tuple)):
        numbers: list[float] = list(given)
    elif isinstance(given, Value) and given.data is not None:
        numbers = given.data.ravel().tolist()
    else:
        return given
    if node.op in _OWN:
        single = name in ("axis", "start", "end", "allowzero")
    else:
        single = not any(a.name == name and a.per_unit for a in _declared(node))
    return numbers[0] if single and len(numbers) == 1 else numbers


def _declared(node: Node) -> Sequence[Declared]:
    return operator(node.op).attributes


def _x(node: Node) -> Shape:
    x = node.inputs[0]
    assert x is not None
    return x.shape


def _integers(node: Node, name: str) -> list[Size | None] | None:
    """The elements of a list of integers; None where their count is unknown."""
    numbers = numbers_of(node.attributes.get(name, ()))
    if numbers is None:
        return None
    return [int(n) if isinstance(n, float) else n for n in numbers]


def _shape(node: Node) -> list[Shape]:
    x = _x(node)
    return [(None if x is None else len(shape_part(x, node.attributes)),)]


def _reshape(node: Node) -> list[Shape]:
    allowzero = node.attributes.get("allowzero", 0)
    copies = allowzero if isinstance(allowzero, int) else None
    return [reshaped(node.op, _x(node), _integers(node, "shape"), copies)]


def _squeeze(node: Node) -> list[Shape]:
    x, axes = _x(node), _integers(node, "axes")
    if x is None or axes is None:
        return [None]
    if not axes:
        ones = [None if s is None else equal(s, 1) for s in x]
        if None in ones:
            return [None]
        return [tuple(s for s, one in zip(x, ones, strict=True) if not one)]
    if None in axes:
        return [(None,) * (len(x) - len(axes))]
    places = {axis_of(node.op, "axes", a, len(x)) for a in axes if isinstance(a, int)}
    for axis in places:
        same(node.op, (x[axis], 1), f"axis {axis} of x and 1")
    return [tuple(s for i, s in enumerate(x) if i not in places)]


def _unsqueeze(node: Node) -> list[Shape]:
    x, axes = _x(node), _integers(node, "axes")
    if x is None or axes is None:
        return [None]
    rank = len(x) + len(axes)
    if None in axes:
        return [(None,) * rank]
    places = {axis_of(node.op, "axes", a, rank) for a in axes if isinstance(a, int)}
    if len(places) < len(axes):
        raise SpecError(f"{node.op}: axes {axes} name an axis twice; name each once")
    rest = iter(x)
    return [tuple(1 if i in places else next(rest) for i in range(rank))]


def _flatten(node: Node) -> list[Shape]:
    x, axes = _x(node), numbers_of(node.attributes.get("axis", 1))
    axis = axes[0] if axes else None
    if x is None or not isinstance(axis, int):
        return [(None, None)]
    if not -len(x) <= axis <= len(x):
        raise SpecError(f"{node.op}: axis {axis} is outside rank {len(x)}")
    axis += len(x) if axis < 0 else 0
    return [(count_of(x[:axis]), count_of(x[axis:]))]


def _if(node: Node) -> list[Shape]:
    branches = [[v.shape for v in region.outputs] for region in node.regions]
    return [agreed(found) for found in zip(*branches, strict=True)]


def _loop(node: Node) -> list[Shape]:
    """Carried values: what holds before and after each step. Stacked: a new axis.

    Errors: SpecError where a carried value's shape in the region is not what holds.
    """
    (region,) = node.regions
    outputs, carried = region.outputs[1:], node.attributes["carried"]
    assert isinstance(carried, int)
    found: list[Shape] = []
    for i, value in enumerate(outputs[:carried]):
        start, within = node.inputs[2 + i], region.inputs[2 + i]
        assert start is not None
        holds = agreed([start.shape, value.shape])
        if within.shape != agreed([within.shape, holds]):
            raise SpecError(
                f"{node.op}: {within.name} has shape {text(within.shape)} in its "
                f"region, but {text(holds)} is what holds in each step; build the "
                "region again with that"
            )
        found.append(holds)
    steps = _steps(node)
    stacked = [v.shape for v in outputs[carried:]]
    return found + [None if s is None else (steps, *s) for s in stacked]


def _steps(node: Node) -> Size | None:
    """How often a loop runs: its count, where its condition never ends it."""
    count, condition = node.inputs[:2]
    before, after = node.regions[0].inputs[1], node.regions[0].outputs[0]
    goes_on = condition is None or _is_true(condition)
    if count is None or not goes_on or not (after is before or _is_true(after)):
        return None
    (steps,) = numbers_of(count) or [None]
    return None if steps is None or isinstance(steps, float) else maximum(steps, 0)


def _is_true(value: Value) -> bool:
    return value.data is not None and bool(value.data.all())


def text(shape: Sequence[object] | None) -> str:
    """A shape for a person: [batch, 3, ?]; "any" where the rank is unknown."""
    if shape is None:
        return "any"
    return f"[{', '.join('?' if s is None else str(s) for s in shape)}]"


_OWN: dict[str, Callable[[Node], list[Shape]]] = {
    SHAPE: _shape,
    RESHAPE: _reshape,
    SQUEEZE: _squeeze,
    UNSQUEEZE: _unsqueeze,
    FLATTEN: _flatten,
    IF: _if,
    LOOP: _loop,
}
