"""MindIR files that tests write: graphs of primitives, constants and functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ops_wasm32.convert import Array

from toolchain.frontends import mindir_schema as schema

NUMBERS = {name: number for number, name in schema.DTYPES.items()}


class Writer:
    """A file under construction."""

    def __init__(self) -> None:
        self.proto = schema.model_class()(
            ir_version="0.1.1",
            producer_name="MindSpore",
            model_version="2.10.0",
            little_endian=True,
            mind_ir_version=3,
        )
        self.proto.graph.name = "main"
        self.main = Part(self, self.proto.graph)
        self.count = 0

    def function(self, name: str, inputs: Sequence[str] = ()) -> Part:
        """A function of the file; its inputs are its own names."""
        graph = self.proto.functions.add(name=name)
        for each in inputs:
            graph.input.add(name=each)
        return Part(self, graph)

    def write(self, file: Path) -> Path:
        """The file."""
        file.write_bytes(self.proto.SerializeToString())
        return file


class Part:
    """The main graph, or a function. Methods give names of values."""

    def __init__(self, writer: Writer, graph: Any) -> None:
        self.writer, self.graph = writer, graph

    def input(self, name: str, sizes: Sequence[int], dtype: str = "float32") -> str:
        """An input; -1 is a size left open."""
        tensor = self.graph.input.add(name=f"main:{name}").tensor.add()
        tensor.data_type = NUMBERS[dtype]
        tensor.dims.extend(sizes)
        return f"main:{name}"

    def weight(self, name: str, data: Array) -> str:
        """A parameter."""
        tensor = self.graph.parameter.add(name=f"main:{name}")
        _fill_tensor(tensor, data)
        return f"main:{name}"

    def constant(self, value: Any) -> str:
        """A constant: a number, a tuple, a text, None or an array."""
        node = self._node("Constant")
        _fill(node.attribute.add(name="value"), value)
        return str(node.output[0])

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of a primitive."""
        name = f"{kind}:{len(self.writer.proto.primitives)}"
        primitive = self.writer.proto.primitives.add(name=name, op_type=kind)
        for key, value in attributes.items():
            _fill(primitive.attribute.add(name=key), value)
        return self.call(name, *inputs)

    def call(self, target: str, *inputs: str) -> str:
        """A node that calls a function, or what another node chose."""
        node = self._node(f"REF::{target}")
        node.input.extend(inputs)
        return str(node.output[0])

    def give(self, value: str) -> None:
        """The result."""
        self.graph.output.add(name=value)

    def _node(self, kind: str) -> Any:
        self.writer.count += 1
        name = f"{self.graph.name}:CNode_{self.writer.count}"
        node = self.graph.node.add(op_type=kind, name=name, domain=f"Default/{name}")
        node.output.append(name)
        return node


def one(
    kind: str,
    inputs: Mapping[str, Any],
    *more: Any,
    sizes: Mapping[str, Sequence[int]] | None = None,
    **attributes: Any,
) -> Writer:
    """A file of one primitive. more: constants behind the inputs.

    sizes: of inputs that are not those of the arrays.
    """
    writer = Writer()
    part = writer.main
    names = [
        part.input(n, (sizes or {}).get(n, a.shape), str(a.dtype))
        for n, a in inputs.items()
    ]
    names += [part.constant(v) for v in more]
    part.give(part.op(kind, *names, **attributes))
    return writer


def _fill(attribute: Any, value: Any) -> None:
    if value is None:
        attribute.type = schema.NONE
    elif isinstance(value, np.ndarray):
        attribute.type = schema.TENSORS
        _fill_tensor(attribute.tensors.add(), value)
    elif isinstance(value, str):
        attribute.type, attribute.s = schema.STRING, value.encode()
    elif isinstance(value, list | tuple):
        attribute.type = schema.SEQUENCES[0]
        for each in value:
            _fill(attribute.values.add(), each)
    elif isinstance(value, bool | int):
        attribute.type = schema.BOOL if isinstance(value, bool) else 5
        attribute.i = int(value)
    else:
        attribute.type, attribute.f = schema.FLOAT, value


def _fill_tensor(tensor: Any, data: Array) -> None:
    tensor.data_type = NUMBERS[str(data.dtype)]
    tensor.dims.extend(data.shape)
    tensor.raw_data = data.tobytes()
