"""Steps: what a node's step says of its operands and attributes, as C reads it."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.graph.graph import LOOP, PREFIX, Attribute, Node, Value
from toolchain.graph.operators import operator

UNBOUNDED = (1 << 31) - 1
# Attributes of the graph's own operations, in the order in which C reads them, and
# what stands where one is left out.
_OWN: dict[str, dict[str, Attribute | None]] = {
    "shape": {"start": 0, "end": UNBOUNDED},
    "reshape": {"allowzero": 0, "shape": None},
    "squeeze": {"axes": ()},
    "unsqueeze": {"axes": None},
    "flatten": {"axis": 1},
    "if": {},
    "loop": {},
}


def inputs_of(node: Node) -> list[Value | None]:
    """All inputs that the runtime expects: optional ones at the end are absent."""
    inputs = list(node.inputs)
    if node.op.startswith(PREFIX):
        return inputs
    wanted = operator(node.op).inputs
    return inputs + [None] * (len(wanted) - len(inputs))


def stored(node: Node) -> list[Value]:
    """Values that a step names: inputs, and attributes that are no plain numbers."""
    found = [v for v in node.inputs if v is not None]
    found += [v for n in node.attributes if isinstance(v := given(node, n), Value)]
    return found


def names_of(node: Node, own: bool) -> list[str]:
    """Names of the attributes, in the runtime's order."""
    if own:
        return list(_OWN[node.op.removeprefix(PREFIX)])
    return [a.name for a in operator(node.op).attributes]


def given(node: Node, name: str) -> Attribute | None:
    """An attribute; constants as plain numbers; None where it is left out."""
    value = node.attributes.get(name)
    if isinstance(value, Value) and value.data is not None:
        return [n.item() for n in value.data.reshape(-1)]
    return value


def numbers_of(node: Node, name: str, value: Attribute | None) -> list[float]:
    """The numbers of an attribute."""
    if node.op.startswith(PREFIX):
        value = _OWN[node.op.removeprefix(PREFIX)][name] if value is None else value
        return _plain(value)
    found = next(a for a in operator(node.op).attributes if a.name == name)
    if isinstance(value, str):
        value = found.choices.index(value)
    numbers = _plain(value)
    if found.kind == "float":
        return [float(n) for n in numbers]
    return [int(n) for n in numbers]


def _plain(value: Attribute | None) -> list[float]:
    if value is None:
        return []
    values = value if isinstance(value, Sequence) else [value]
    return [v for v in values if isinstance(v, (int, float))]


def units_of(node: Node, own: bool) -> int:
    """Units of a call: variadic tensors, or entries of a list."""
    if node.op == LOOP:
        return int(node.attributes["carried"])  # type: ignore[arg-type]
    if own:
        return 0
    found = operator(node.op)
    if any(i.variadic for i in found.inputs):
        return len(node.inputs) - len(found.inputs) + 1
    if any(o.variadic for o in found.outputs):
        return len(node.outputs)
    for attribute in found.attributes:
        value = given(node, attribute.name)
        if attribute.per_unit and isinstance(value, Sequence):
            return len(value) // attribute.per_unit
    return 0
