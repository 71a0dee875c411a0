"""Calls: what a rule of a primitive gets, and where it is registered.

A rule takes a Primitive and gives its result; a tuple is Items. What a primitive takes
besides tensors is an input in newer files and an attribute in older ones:
`Primitive.option` and `known` look in both places. The other files of this folder hold
the rules.
Source: MindSpore 2.10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from toolchain.frontends.nodes.convert import Converter
from toolchain.frontends.nodes.rules import Call, plain_numbers
from toolchain.frontends.nodes.scope import Items, Scope
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

Rule = Callable[["Primitive"], "Value | None"]
RuleT = TypeVar("RuleT", bound=Rule)
RULES: dict[str, Rule] = {}
# A number, or one that is computed.
Scalar: TypeAlias = "int | float | Value"

# The numbers of MindSpore's types, as Cast names them.
TYPES = {
    30: "bool",
    32: "int8",
    33: "int16",
    34: "int32",
    35: "int64",
    37: "uint8",
    38: "uint16",
    39: "uint32",
    40: "uint64",
    42: "float16",
    43: "float32",
    44: "float64",
}


@cache
def table() -> Mapping[str, Rule]:
    """All rules, by primitive."""
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__package__}.{file.stem}")
    return RULES


def primitive(*names: str) -> Callable[[RuleT], RuleT]:
    """Register a rule for primitives."""

    def register(function: RuleT) -> RuleT:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Number(Value):
    """A constant of Python's: it takes the dtype of the tensor that it meets."""


class Primitive(Call):
    """A node of a MindIR file. attributes: of its primitive, as Python has them."""

    def __init__(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
        scope: Scope,
        converter: Converter,
    ) -> None:
        node = SimpleNamespace(op_type=kind, domain="", attribute=(), output=("",))
        super().__init__(node, inputs, scope, converter, "")
        self.attributes, self.converter = dict(attributes), converter

    def within(self, scope: Scope) -> Primitive:
        """The same node in another scope."""
        given = (self.name, self.inputs, self.attributes, scope, self.converter)
        return Primitive(*given)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; `default` where it is absent or None."""
        value = self.attributes.get(name)
        return default if value is None else value

    def option(self, index: int, name: str, default: Any = None) -> Any:
        """What an input or, in older files, an attribute says.

        A number, numbers or a text where they are constant, else a Value.
        """
        value = self.optional(index)
        if isinstance(value, Items):
            return plain_numbers(self.vector(self.elements(index)))
        return self.get(name, default) if value is None else plain_numbers(value)

    def known(self, index: int, name: str, default: Any = None) -> Any:
        """As option, where it must be constant. Errors: SpecError."""
        found = self.option(index, name, default)
        if isinstance(found, Value):
            raise SpecError(f"its {name} is computed; make it a constant")
        return found

    def numbers(self, name: str, count: int, default: Any = None) -> list[int]:
        """An attribute's numbers of the last `count` axes. Errors: SpecError."""
        value = self.get(name, default)
        if value is None:
            raise SpecError(f"has no {name}; export the model again")
        numbers = [value] * count if isinstance(value, int) else list(value)
        return numbers[-count:]

    def need(self, name: str, value: Any, *wanted: Any) -> None:
        """Refuse a value that is none of these."""
        if value not in wanted:
            raise SpecError(
                f"has {name} {value!r}; use {' or '.join(map(repr, wanted))}"
            )

    def axes(self, index: int = 1, name: str = "axis") -> list[int]:
        """Axes as the node says them; none stand for all of them."""
        value = self.known(index, name)
        return [value] if isinstance(value, int) else list(value or [])

    def like(self, index: int, other: Value) -> Value:
        """An input, where a number takes the dtype of another value."""
        value = self[index]
        if isinstance(value, Number) and value.data is not None:
            return self.constant(value.data, other.dtype)
        return value

    def pair(self) -> tuple[Value, Value]:
        """The two operands, of one dtype where one of them is a number."""
        a, b = self[0], self[1]
        return self.like(0, b), self.like(1, a)

    def elements(self, index: int) -> list[Scalar]:
        """The numbers of a tuple or vector, of which some may be computed."""
        value = self[index]
        if isinstance(value, Items):
            return [v if v.data is None else v.data.item() for v in value.items]
        if value.data is not None:
            return list(np.ravel(value.data).tolist())
        if value.known is None or len(value.known) != 1:
            raise SpecError(f"input {index} has an unknown number of elements")
        return [
            self.call("gather", value, self.constant(i, "int64"), axis=0)
            for i in range(value.known[0])
        ]

    def vector(self, elements: Sequence[Scalar]) -> Value:
        """Numbers as a vector of int64; of floats where all are constant floats."""
        if not any(isinstance(e, Value) for e in elements):
            data = np.array(elements) if elements else np.array([], "int64")
            return self.builder.constant(data)
        parts = [
            self.builder.reshape(self.cast(e, "int64"), [1])
            if isinstance(e, Value)
            else self.constant([e], "int64")
            for e in elements
        ]
        return parts[0] if len(parts) == 1 else self.call("concat", *parts, axis=0)

    def tensors(self) -> list[Value]:
        """The tensors of a tuple, or of separate inputs."""
        first = self[0]
        return list(first.items) if isinstance(first, Items) else self.given()

    def onnx(self, name: str, *inputs: Value | None, **attributes: Any) -> Value:
        """The first output of an ONNX operator of the newest opset."""
        return self.onnx_outputs(name, 1, *inputs, **attributes)[0]

    def onnx_outputs(
        self, name: str, count: int, *inputs: Value | None, **attributes: Any
    ) -> list[Value]:
        """The first outputs of an ONNX operator. Errors: SpecError."""
        from onnx import helper

        names = ["" if v is None else f"i{i}" for i, v in enumerate(inputs)]
        node = helper.make_node(
            name, names, [f"o{i}" for i in range(count)], **attributes
        )
        found = self.converter.results(node, list(inputs), self.scope, self.name)
        return [v for v in found if v is not None]


def dtype_of(c: Primitive, said: Any) -> str:
    """The dtype that a number of MindSpore's types, or a type, means."""
    if isinstance(said, str):
        return said
    if said not in TYPES:
        raise SpecError(f"type {said} is unsupported; use {', '.join(TYPES.values())}")
    return TYPES[said]
