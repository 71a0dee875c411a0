"""Arguments: whether a node gives its operator the inputs and attributes it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from toolchain.graph.graph import (
    FLATTEN,
    IF,
    LOOP,
    PREFIX,
    RESHAPE,
    SHAPE,
    SQUEEZE,
    UNSQUEEZE,
    VIEWS,
    Attribute,
    Node,
    Value,
)
from toolchain.graph.operators import operator, output_dtypes, spread
from toolchain.spec import Attribute as Declared
from toolchain.spec import SpecError, tensor_dtype

# Attributes of the graph's own operations; True: it must be given.
OWN: dict[str, dict[str, bool]] = {
    SHAPE: {"start": False, "end": False},
    RESHAPE: {"shape": True, "allowzero": False},
    SQUEEZE: {"axes": False},
    UNSQUEEZE: {"axes": True},
    FLATTEN: {"axis": False},
    IF: {},
    LOOP: {"carried": True},
}


def check_arguments(node: Node) -> None:
    """SpecError where inputs, outputs, dtypes or attributes are not as they must be."""
    if node.op.startswith(PREFIX):
        _check_own(node)
        return
    found = operator(node.op)
    if node.dtypes not in found.variants():
        raise SpecError(f"has no variant {', '.join(node.dtypes)}")
    _check_inputs(node)
    _check_outputs(node)
    declared = {a.name: a for a in found.attributes}
    _check_names(node, {n: a.default is None for n, a in declared.items()})
    for name, given in node.attributes.items():
        _check_attribute(declared[name], given)


def check_attributes(name: str, given: Mapping[str, Attribute]) -> None:
    """SpecError where an attribute of an operator is not of its kind, or outside."""
    declared = {a.name: a for a in operator(name).attributes}
    for attribute, value in given.items():
        if isinstance(value, (list, tuple)) and not declared[attribute].per_unit:
            value = value[0] if len(value) == 1 else value  # as ONNX writes one
        try:
            _check_attribute(declared[attribute], value)
        except SpecError as error:
            raise SpecError(f"{name}: {error}") from None


def _check_own(node: Node) -> None:
    if node.op not in OWN:
        raise SpecError(f"there is no operation {node.op}")
    _check_names(node, OWN[node.op])
    if node.op in (IF, LOOP):
        return
    if len(node.inputs) != 1 or len(node.outputs) != 1 or node.inputs[0] is None:
        raise SpecError("takes an input and gives an output, no more and no less")
    wanted = node.inputs[0].dtype if node.op in VIEWS else "int64"
    _check_dtype("its output", node.output, wanted)


def _check_names(node: Node, declared: dict[str, bool]) -> None:
    for name in node.attributes:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise SpecError(f"has no attribute {name!r}; its attributes: {known}")
    for name, required in declared.items():
        if required and name not in node.attributes:
            raise SpecError(f"lacks its attribute {name!r}")


def _check_inputs(node: Node) -> None:
    found = operator(node.op)
    params = spread(found.inputs, len(node.inputs))
    if len(node.inputs) > len(params):
        raise SpecError(f"has {len(node.inputs)} inputs, but takes {len(params)}")
    given: list[Value | None] = [*node.inputs, *[None] * len(params)]
    for param, value in zip(params, given, strict=False):
        if value is not None:
            wanted = tensor_dtype(param, node.dtypes)
            _check_dtype(f"its input {param.name}", value, wanted)
        elif not param.optional:
            raise SpecError(f"lacks its input {param.name}")


def _check_outputs(node: Node) -> None:
    wanted = output_dtypes(node.op, node.dtypes, len(node.outputs))
    if not node.outputs or len(node.outputs) > len(wanted):
        raise SpecError(f"has {len(node.outputs)} outputs, but gives {len(wanted)}")
    for value, dtype in zip(node.outputs, wanted, strict=True):
        _check_dtype(f"its output {value.name}", value, dtype)


def _check_dtype(what: str, value: Value, wanted: str) -> None:
    if value.dtype != wanted:
        raise SpecError(f"{what} is {value.dtype}, but must be {wanted}")


def _check_attribute(declared: Declared, given: Attribute) -> None:
    """A number, numbers, or a value that has them when the model runs."""
    name = declared.name
    if isinstance(given, Value):
        _check_value(declared, given)
    elif isinstance(given, str) and not declared.per_unit:
        _check_number(declared, given)
    elif declared.per_unit:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise SpecError(f"{name} is {given!r}, but must be a list")
        if len(given) % declared.per_unit:
            raise SpecError(f"{name} has {len(given)} entries, an uneven number")
        for number in given:
            _check_number(declared, number)
    elif isinstance(given, Sequence):
        raise SpecError(f"{name} is {given!r}, but must be one number")
    else:
        _check_number(declared, given)


def _check_number(declared: Declared, given: object) -> None:
    """A number within its limits, or the name of a choice."""
    if isinstance(given, str) and declared.choices:
        if given not in declared.choices:
            known = ", ".join(declared.choices)
            raise SpecError(f"{declared.name} holds {given!r}, none of {known}")
        return
    wanted = Integral if declared.kind == "int" else Real
    if not isinstance(given, wanted):
        raise SpecError(f"{declared.name} holds {given!r}, but is {declared.kind}")
    low, high = declared.limits()
    number = float(given)
    if number < low or number > high:
        raise SpecError(f"{declared.name} holds {given}, outside {low:g} to {high:g}")


def _check_value(declared: Declared, given: Value) -> None:
    if declared.kind == "int" and given.dtype.startswith("float"):
        raise SpecError(
            f"{declared.name} follows from {given.name}, {given.dtype}, but is int"
        )
    several = given.known is not None and given.known not in ((), (1,))
    if (several and not declared.per_unit) or (given.rank or 0) > 1:
        raise SpecError(
            f"{declared.name} follows from {given.name}, which has too many elements"
        )
