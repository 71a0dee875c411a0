"""Graph: a model as a list of operations over values with known shapes.

Made from Relax, where importers write; passes here change it in place until each
node is one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.frontends.library import read_call

# Kinds of nodes that are done: a kernel, or the same memory in another shape.
DONE = KERNEL, VIEW = "kernel", "view"


@dataclass(eq=False)
class Value:
    """A tensor. data: its elements, where they are constant."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[Any] | None = None

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes; bool takes one each."""
        return self.count * np.dtype(self.dtype).itemsize

    @staticmethod
    def constant(name: str, data: NDArray[Any]) -> Value:
        """A value whose elements are known."""
        return Value(name, tuple(data.shape), str(data.dtype), data)


@dataclass(eq=False)
class Node:
    """An operation. attributes: by the names of its Relax operator.

    "operands" among them: arguments of the call that are no tensors, in their order.

    build: the Relax call over given tensors, for operations that Relax lowers.
    places: what errors call the nodes of the file that it does the work of.
    """

    op: str
    inputs: list[Value]
    outputs: list[Value]
    attributes: dict[str, Any] = field(default_factory=dict)
    build: Callable[[list[Any]], Any] | None = None
    numbers: list[Any] = field(default_factory=list)
    places: tuple[str, ...] = ()

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]

    def users(self) -> dict[Value, list[Node]]:
        """Nodes that read a value."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                found.setdefault(value, []).append(node)
        return found

    def producers(self) -> dict[Value, Node]:
        """The node that writes a value."""
        return {value: node for node in self.nodes for value in node.outputs}

    def replace(self, old: Value, new: Value) -> None:
        """Let everything that reads a value read another."""
        for node in self.nodes:
            node.inputs = [new if v is old else v for v in node.inputs]
        self.outputs = [new if v is old else v for v in self.outputs]

    def remove_dead(self) -> None:
        """Drop nodes that no output needs."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]


def from_relax(module: Any, name: str, outputs: Iterable[str]) -> Graph:
    """The graph of a module's `main`, all of whose shapes are known.

    outputs: names for what it returns.
    """
    return _Reader(module).read(name, list(outputs))


class _Reader:
    def __init__(self, module: Any) -> None:
        from tvm import ir, relax

        self.relax, self.constant_type = relax, ir.GenericConst
        self.module = module
        self.values: dict[Any, Any] = {}
        self.nodes: list[Node] = []
        self.constants: dict[Any, Value] = {}

    def read(self, name: str, outputs: list[str]) -> Graph:
        main = self.module["main"]
        inputs = [self._value(p.name, p.ty) for p in main.params]
        self.values.update(zip(main.params, inputs, strict=True))
        for block in main.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self._bind(binding.var.name, binding.value)
        results = _flat(self._operand(main.body.body))
        free = {value for node in self.nodes for value in node.outputs}
        named = []
        for value, wanted in zip(results, outputs, strict=True):
            if value not in free:  # an input, a constant, or an output before
                source, value = value, Value(wanted, value.shape, value.dtype)
                self.nodes.append(Node(VIEW, [source], [value]))
            value.name = wanted
            free.discard(value)
            named.append(value)
        return Graph(name, inputs, named, self.nodes)

    def _value(self, name: str, kind: Any) -> Value:
        return Value(name, tuple(int(n) for n in kind.shape), str(kind.dtype))

    def _bind(self, name: str, expression: Any) -> Any:
        relax = self.relax
        if isinstance(expression, relax.Call):
            return self._call(name, expression)
        if isinstance(expression, relax.TupleGetItem):
            return self._operand(expression.tuple_value)[expression.index]
        return self._operand(expression)

    def _operand(self, expression: Any) -> Any:
        """A Value, a list of them for a tuple, or None for what is no tensor."""
        relax = self.relax
        if isinstance(expression, self.constant_type):
            if expression not in self.constants:
                data = expression.value.numpy()
                value = Value.constant(f"constant{len(self.constants)}", data)
                self.constants[expression] = value
            return self.constants[expression]
        if isinstance(expression, relax.Tuple):
            return [self._operand(f) for f in expression.fields]
        if isinstance(expression, relax.Var):
            return self.values[expression]
        return None

    def _is_plain(self, argument: Any) -> bool:
        """Whether an argument is a number or numbers, no tensors."""
        relax = self.relax
        if isinstance(argument, relax.Tuple):
            return all(self._is_plain(f) for f in argument.fields)
        tensor = isinstance(argument, (relax.Var, self.constant_type))
        return not tensor and (
            hasattr(argument, "value") or hasattr(argument, "values")
        )

    def _call(self, name: str, call: Any) -> Any:
        relax = self.relax
        kind = call.ty
        if isinstance(kind, relax.ShapeType):  # shape_of: all shapes are known
            sizes = [int(n) for n in kind.values]
            return Value.constant(name, np.array(sizes, dtype="int64"))
        if call.op.name == "relax.shape_to_tensor":
            return self._operand(call.args[0])
        inputs = [v for a in call.args for v in _flat(self._operand(a))]
        if isinstance(kind, relax.TupleType):
            outputs = [self._value(f"{name}.{i}", t) for i, t in enumerate(kind.fields)]
        else:
            outputs = [self._value(name, kind)]
        op = call.op.name
        attributes = _attributes(call)
        if op == "relax.clip":  # whose limits are operands
            attributes |= {"min": call.args[1].value, "max": call.args[2].value}
        if op in ("relax.call_tir", "relax.call_dps_packed"):
            attributes["callee"] = call.args[0]
            found = read_call(str(getattr(call.args[0], "global_symbol", "")))
            op, attributes = found or (op, attributes)
        numbers = [_plain(a) for a in call.args if self._is_plain(a)]
        build, op = partial(self._again, call), op.removeprefix("relax.")
        self.nodes.append(Node(op, inputs, outputs, attributes, build, numbers))
        return outputs if isinstance(kind, relax.TupleType) else outputs[0]

    def _again(self, call: Any, inputs: list[Any]) -> Any:
        """The same call over other tensors."""
        relax, left = self.relax, iter(inputs)

        def substitute(argument: Any) -> Any:
            if isinstance(argument, relax.Tuple):
                return relax.Tuple([substitute(f) for f in argument.fields])
            if isinstance(argument, (relax.Var, self.constant_type)):
                return next(left)
            return argument

        arguments = [substitute(a) for a in call.args]
        return relax.Call(call.op, arguments, call.attrs, call.ty_args)


def _flat(operand: Any) -> list[Value]:
    if operand is None:
        return []
    return (
        [v for o in operand for v in _flat(o)]
        if isinstance(operand, list)
        else [operand]
    )


def _attributes(call: Any) -> dict[str, Any]:
    """Attributes as Python values."""
    if call.attrs is None:
        return {}
    kinds = type(call.attrs).__dict__
    return {k: _plain(getattr(call.attrs, k)) for k in kinds if not k.startswith("_")}


def _plain(value: Any) -> Any:
    if hasattr(value, "value"):
        return value.value
    for parts in ("fields", "values"):  # of a tuple, of a shape
        if hasattr(value, parts) and not callable(getattr(value, parts)):
            return [_plain(v) for v in getattr(value, parts)]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if hasattr(value, "__iter__"):
        return [_plain(v) for v in value]
    return value


Pass = Callable[[Graph], None]
