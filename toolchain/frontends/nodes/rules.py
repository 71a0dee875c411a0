"""Rules: what a rule of an ONNX operator gets, and where it is registered.

A rule takes a Call and gives the node's output, or a list of its outputs; None for an
output that it does not make. The other files of this folder hold the rules.
Source: ONNX operators as of opset 25.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from toolchain.dtypes import DTYPES
from toolchain.frontends.nodes.scope import Scope
from toolchain.frontends.standard import schema_of
from toolchain.graph.builder import Builder
from toolchain.graph.graph import Attribute, Graph, Value
from toolchain.graph.operators import file_of, operator, variant_of
from toolchain.spec import SpecError

Results: TypeAlias = "Value | Sequence[Value | None] | None"
Rule = Callable[["Call"], Results]
RuleT = TypeVar("RuleT", bound=Rule)
RULES: dict[tuple[str, str], Rule] = {}
# Rules for where the library has no operator of the same name.
FALLBACKS: dict[tuple[str, str], Rule] = {}
# An operand: a value, or a number that becomes a constant of the first value's dtype.
Operand: TypeAlias = "Value | float | None"


Table = Mapping[tuple[str, str], Rule]


@cache
def tables() -> tuple[Table, Table]:
    """All rules and all fallbacks, by domain and operator."""
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__package__}.{file.stem}")
    return RULES, FALLBACKS


def rule(
    *names: str, domain: str = "", fallback: bool = False
) -> Callable[[RuleT], RuleT]:
    """Register a rule for operators of a domain.

    fallback: it is used where the library has no operator of that name.
    """

    def register(function: RuleT) -> RuleT:
        table = FALLBACKS if fallback else RULES
        table.update({(domain, name): function for name in names})
        return function

    return register


@cache
def has(name: str) -> bool:
    """Whether there is an operator of a name."""
    try:
        file_of(name)
    except SpecError:
        return False
    return True


class Regions(Protocol):
    """The conversion of a graph inside a node."""

    def inlined(self, graph: Any, scope: Scope, path: str) -> list[Value | None]:
        """Results of a graph whose nodes become nodes of the scope's graph."""


class Call:
    """A node. inputs: None where absent. path: what nodes inside are called after."""

    def __init__(
        self,
        node: Any,
        inputs: Sequence[Value | None],
        scope: Scope,
        regions: Regions,
        path: str,
    ) -> None:
        from onnx import helper

        self.node, self.inputs, self.scope = node, list(inputs), scope
        self.regions, self.path, self.builder = regions, path, scope.builder
        self.domain = "" if node.domain == "ai.onnx" else str(node.domain)
        self.name, self.opset = str(node.op_type), scope.opsets.get(self.domain, 1)
        self.attributes: dict[str, Any] = {
            a.name: decoded(helper.get_attribute_value(a)) for a in node.attribute
        }

    def __getitem__(self, index: int) -> Value:
        """An input. Errors: SpecError where it is absent."""
        value = self.optional(index)
        if value is None:
            raise SpecError(f"has no input {index}; export the model again")
        return value

    def optional(self, index: int) -> Value | None:
        """An input; None where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def given(self) -> list[Value]:
        """All inputs that are not absent."""
        return [v for v in self.inputs if v is not None]

    def wants(self, index: int) -> bool:
        """Whether an output has a name."""
        return len(self.node.output) > index and bool(self.node.output[index])

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute: the node's, else the standard's default, else `default`."""
        if name in self.attributes:
            return self.attributes[name]
        standard = defaults(self.name, self.domain, self.opset).get(name)
        return default if standard is None else standard

    def setting(self, index: int, name: str = "", default: Any = None) -> Any:
        """What an input or, in older versions, an attribute says.

        A number or numbers where they are constant, else a Value; None where absent.
        """
        value = self.optional(index)
        if value is None:
            return self.get(name, default) if name else default
        return plain_numbers(value)

    def known(self, index: int, name: str) -> Any:
        """As setting, where the numbers must be constant. Errors: SpecError."""
        found = self.setting(index, name)
        if isinstance(found, Value):
            raise SpecError(
                f"its {name} must be constant; make it a weight of the file"
            )
        return found

    def graph(self) -> Graph:
        """The graph that the node becomes a part of."""
        return self.builder.graph

    def constant(self, data: Any, dtype: str) -> Value:
        """A constant."""
        return self.builder.constant(data, dtype)

    def call(
        self,
        name: str,
        *operands: Operand,
        dtypes: tuple[str, ...] | None = None,
        **attributes: Attribute,
    ) -> Value:
        """The output of an operator."""
        values = self.values(operands)
        return self.builder.call(name, *values, dtypes=dtypes, **attributes)

    def exact(self, name: str, *operands: Operand, **attributes: Attribute) -> Value:
        """As call; of integers that the operator does not take as int32, wrapped."""
        values = self.values(operands)
        dtypes = dtypes_of(values)
        narrow = all(d in NARROW for d in dtypes if d)
        if variant_of(name, dtypes) is not None or not narrow:
            return self.builder.call(name, *values, dtypes=None, **attributes)
        kind = next(v.dtype for v in values if v is not None)
        wide = [None if v is None else self.cast(v, "int32") for v in values]
        found = self.builder.call(name, *wide, dtypes=None, **attributes)
        return self.cast(found, kind) if found.dtype == "int32" else found

    def values(self, operands: Sequence[Operand]) -> list[Value | None]:
        """Operands as values."""
        dtype = next((v.dtype for v in operands if isinstance(v, Value)), "float32")
        return [
            v if v is None or isinstance(v, Value) else self.constant(v, dtype)
            for v in operands
        ]

    def cast(self, x: Value, to: str) -> Value:
        """A tensor as another dtype; itself where it has it."""
        return as_dtype(self.builder, x, to)


def as_dtype(builder: Builder, x: Value, to: str) -> Value:
    """A tensor as another dtype; itself where it has it. Errors: SpecError."""
    if x.dtype == to:
        return x
    for name in ("cast", "convert"):
        if (x.dtype, to) in operator(name).variants():
            return builder.call(name, x, dtypes=(x.dtype, to))
    raise SpecError(
        f"casts {x.dtype} to {to}, which is not supported; use {', '.join(DTYPES)}"
    )


NARROW = ("int8", "uint8", "bool")


def dtypes_of(values: Sequence[Value | None]) -> list[str | None]:
    """Dtypes of values; None where one is absent."""
    return [None if v is None else v.dtype for v in values]


def plain_numbers(value: Value) -> Any:
    """The elements of a value as numbers where they are constant, else the value."""
    return value if value.data is None else value.data.tolist()


@cache
def defaults(name: str, domain: str, opset: int) -> Mapping[str, Any]:
    """What the standard says for attributes that are left out."""
    from onnx import helper

    schema = schema_of(name, domain, opset)
    if schema is None:
        return {}
    return {
        n: decoded(helper.get_attribute_value(a.default_value))
        for n, a in schema.attributes.items()
        if a.default_value.type
    }


def decoded(value: Any) -> Any:
    """An attribute's value, with texts for bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [decoded(v) for v in value] if isinstance(value, list) else value


# Dtypes of files that are computed with in another one.
INNER = {"float16": "float32", "bfloat16": "float32"}


def dtype_of_number(number: int) -> str:
    """The dtype that a TensorProto.DataType means, as numpy spells it."""
    from onnx import helper

    return str(np.dtype(helper.tensor_dtype_to_np_dtype(number)))


def inner(dtype: str) -> str:
    """The dtype in which a model computes with one of its file's."""
    return INNER.get(dtype, dtype)


def computed_with(data: Any) -> Any:
    """Elements of a file as a model computes with them."""
    return data.astype(inner(data.dtype.name), copy=False)
