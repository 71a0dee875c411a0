"""MindIR: a file that MindSpore exported becomes a Graph, without MindSpore.

A node names a primitive, whose attributes stand elsewhere in the file; what other
formats keep as attributes (axes, epsilon, whether a factor is transposed) may be
inputs here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.dtypes import DTYPES
from toolchain.frontends import Given
from toolchain.frontends import mindir_schema as schema
from toolchain.frontends.graphs import GraphModel, finished, raise_refusals, started
from toolchain.frontends.load import NODES, array, check_size, raise_some
from toolchain.frontends.mindir_calls import Calls, leaves
from toolchain.frontends.mindir_file import AGAIN, array_of, parse, value_of
from toolchain.frontends.nodes.convert import Converter, UnknownOperatorError
from toolchain.frontends.nodes.scope import REFUSED, Items, Scope
from toolchain.frontends.primitives.calls import Number, Primitive, table
from toolchain.frontends.primitives.control import Function
from toolchain.frontends.sizes import with_values
from toolchain.frontends.standard import excess
from toolchain.graph.graph import Value
from toolchain.process import confined
from toolchain.spec import SpecError

PAGE = "docs/mindir.md"


def read(path: Path, given: Given) -> GraphModel:
    """Read a MindIR file. Sizes that nobody gives stay open: x.0 of input x.

    Errors: SpecError, with every reason at once.
    """
    return _Reader(path, parse(path)).model(given)


class _Reader:
    """One file. primitives: by the names that nodes call them."""

    def __init__(self, path: Path, proto: Any) -> None:
        self.path, self.proto = path, proto
        self.primitives = {p.name: p for p in proto.primitives}
        self.converter = Converter()
        functions = {f.name: f for f in proto.functions}
        self.calls = Calls(functions, self._kind, self._convert_graph)
        self.count = 0  # of nodes that were converted

    def model(self, given: Given) -> GraphModel:
        """The whole model."""
        from onnx import defs

        where, graph = str(self.path), self.proto.graph
        weights = self._weights()
        inputs = with_values(self._inputs(), given, where)
        opsets = {"": defs.onnx_opset_version()}
        scope = started(inputs, self.path.stem, opsets, given, where)
        scope.values |= {n: Value.constant(n, a) for n, a in weights.items()}
        scope.values |= {n: Function(n) for n in self.calls.functions}
        self._name_inputs(inputs, scope)
        for part in (graph, *self.proto.functions):  # which share constants
            self._convert([n for n in part.node if n.op_type == "Constant"], scope)
        self._convert_graph(graph, scope)
        raise_refusals(self.converter.refusals, where, PAGE)
        results = [v for o in graph.output for v in leaves(self._value(o.name, scope))]
        _check_outputs(results, where)
        names = [f"output{i}" for i in range(len(results))]
        return finished(scope, results, names if len(names) > 1 else ["output"])

    def _convert_graph(self, graph: Any, scope: Scope, but: str = "") -> None:
        """All nodes of a graph; but: the result of one that is left out."""
        nodes = [n for n in graph.node if n.op_type != "Constant"]
        self._convert([n for n in nodes if not but or but not in n.output], scope)

    def _convert(self, nodes: Sequence[Any], scope: Scope) -> None:
        for node in nodes:
            result = self._result(node, scope)
            scope.values |= dict.fromkeys(node.output, result)

    def _name(self, text: str) -> str:
        """A name as the user wrote it: without that of the graph."""
        return text.removeprefix(f"{self.proto.graph.name}:")

    def _weights(self) -> dict[str, NDArray[Any]]:
        """Parameters by name. Errors: SpecError."""
        found, errors, total = {}, [], 0
        for tensor in self.proto.graph.parameter:
            try:
                found[tensor.name] = array_of(tensor, self.path)
            except SpecError as error:
                name = self._name(tensor.name)
                errors.append(f"{self.path}: parameter {name}: {error}")
            else:
                total += found[tensor.name].nbytes
        raise_some(errors)
        check_size(self.path, total)
        return found

    def _inputs(self) -> Any:
        """The inputs as an ONNX model without nodes has them. Errors: SpecError."""
        from onnx import ModelProto

        found, errors = ModelProto(), []
        for value in self.proto.graph.input:
            name = self._name(value.name)
            if len(value.tensor) != 1:
                errors.append(f"{self.path}: input {name}: is no tensor; use tensors")
                continue
            try:
                found.graph.input.append(_input(name, value.tensor[0]))
            except SpecError as error:
                errors.append(f"{self.path}: input {name}: {error}")
        raise_some(errors)
        return found

    def _name_inputs(self, inputs: Any, scope: Scope) -> None:
        """Let nodes find inputs, and those that are given as constants."""
        for tensor in inputs.graph.initializer:
            scope.values[tensor.name] = Value.constant(tensor.name, array(tensor))
        for value in self.proto.graph.input:
            scope.values[value.name] = scope.values[self._name(value.name)]

    def _value(self, name: str, scope: Scope) -> Value | None:
        """The value of a name. Errors: SpecError."""
        try:
            return scope[name]
        except KeyError:
            raise SpecError(
                f"{self.path}: value {name!r} is nowhere defined; {AGAIN}"
            ) from None

    def _kind(self, node: Any) -> str:
        """The primitive of a node; "" where it calls a value."""
        if node.op_type == "Constant":
            return "Constant"
        primitive = self.primitives.get(node.op_type.removeprefix("REF::"))
        return "" if primitive is None else str(primitive.op_type)

    def _result(self, node: Any, scope: Scope) -> Value | None:
        """What a node makes; REFUSED, with a note, where it cannot be converted."""
        at = str(node.domain or self._name(node.name))
        kind = self._kind(node) or node.op_type.removeprefix("REF::")
        confined.at(f"{kind}, node {at}")
        self.count += 1
        inputs = [self._value(n, scope) for n in node.input]
        made = self.converter.or_refused(
            *(kind, "", at, inputs, scope),
            lambda: [self._made(node, kind, inputs, scope)],
        )
        return REFUSED if made is None else made[0]

    def _made(
        self, node: Any, kind: str, inputs: list[Value | None], scope: Scope
    ) -> Value | None:
        if kind == "Constant":
            (said,) = node.attribute
            if said.type in schema.MONADS:
                return Items([])
            return _constant(value_of(said, self.path, strict=True))
        key = node.op_type.removeprefix("REF::")
        primitive, rule = self.primitives.get(key), table().get(kind)
        if primitive is not None and rule is None:
            raise UnknownOperatorError("")
        texts = [] if primitive is None else primitive.attribute
        attributes = {a.name: value_of(a, self.path) for a in texts}
        call = Primitive(kind, inputs, attributes, scope, self.converter)
        result = self._called(call, key) if rule is None else rule(call)
        _check(result, node)
        return result

    def _called(self, call: Primitive, key: str) -> Value:
        """The result of a node that names no primitive: it calls a function."""
        if self.count > NODES:
            raise SpecError(
                f"is a call in a model of more than {NODES} nodes, each function's "
                "counted at each call; cut it in parts"
            )
        try:
            target = call.scope[key]
        except KeyError:
            raise SpecError(f"primitive {key} is not in the file; {AGAIN}") from None
        if target is REFUSED:
            return REFUSED
        given = [v for v in call.inputs if v is not None]
        return self.calls.call(call, call.scope, target, given)


def _check_outputs(results: Sequence[Value], where: str) -> None:
    """Refuse results that modules cannot give."""
    if not results:
        raise SpecError(f"{where}: has no outputs; {AGAIN}")
    for value in results:
        if value.dtype not in DTYPES:
            raise SpecError(
                f"{where}: an output is {value.dtype}; modules give {', '.join(DTYPES)}"
            )


def _input(name: str, tensor: Any) -> Any:
    """An input as ONNX has it: -1 is a size left open, -2 stands for any rank."""
    from onnx import helper

    dtype = schema.DTYPES.get(tensor.data_type)
    if dtype is None:
        raise SpecError(f"dtype {tensor.data_type} is unsupported; use float32")
    sizes = tuple(tensor.dims)
    shape = None if -2 in sizes else [n if n >= 0 else None for n in sizes]
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, number, shape)


def _constant(data: Any) -> Value | None:
    """A constant of a file: a tensor, or what Python has."""
    if data is None:
        return None
    if isinstance(data, list) and not data:
        return Number("number", "int64", (0,), np.array([], "int64"))
    if isinstance(data, np.ndarray):
        return Value.constant("constant", data)
    if isinstance(data, str):
        return Value.constant("constant", np.array(data, object))
    if isinstance(data, list) and any(isinstance(v, np.ndarray) for v in data):
        return Items([v for v in map(_constant, data) if v is not None])
    try:
        found = np.array(data)
    except ValueError:
        raise SpecError(f"holds tuples of several lengths: {data}") from None
    dtype = {"f": "float32"}.get(found.dtype.kind, found.dtype)
    return Number("number", str(dtype), found.shape, found.astype(dtype))


def _check(result: Value | None, node: Any) -> None:
    """Hold a result against the limits of tensors, and what the file says of it."""
    for value in leaves(result):
        shape = value.shape or ()
        known = [n if isinstance(n, int) else None for n in shape]
        if wrong := excess(known, value.dtype):
            raise SpecError(f"its result {wrong}")
    said = [a for a in node.attribute if a.name == "shape"]
    if not said or said[0].type != schema.TENSORS or len(said[0].tensors) != 1:
        return
    if result is None or isinstance(result, Items):
        return
    tensor = said[0].tensors[0]
    dtype, sizes = schema.DTYPES.get(tensor.data_type), tuple(tensor.dims)
    if result.dtype == dtype and (result.shape is None or _fits(result.shape, sizes)):
        return
    made = result.dtype if result.shape is None else _text(result.shape, result.dtype)
    raise SpecError(
        f"its result is {made} here, and {_text(sizes, str(dtype))} by the file"
    )


def _fits(shape: tuple[Any, ...], sizes: tuple[int, ...]) -> bool:
    """Whether a shape is what a file says; -1 and -2 are open."""
    if -2 in sizes:
        return True
    return len(shape) == len(sizes) and all(
        not isinstance(n, int) or m in (n, -1)
        for n, m in zip(shape, sizes, strict=True)
    )


def _text(sizes: tuple[Any, ...], dtype: str) -> str:
    words = ["?" if n in (None, -1, -2) else str(n) for n in sizes]
    return f"{dtype}[{', '.join(words)}]"
