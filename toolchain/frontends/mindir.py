"""MindIR: a file that MindSpore exported becomes Relax, without MindSpore.

A node names a primitive, whose attributes stand elsewhere in the file; what other
formats keep as attributes (axes, epsilon, whether a factor is transposed) may be
inputs here. Load, Depend and UpdateState order side effects; inference has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.frontends import Model, plain
from toolchain.frontends import mind_ir_schema as schema
from toolchain.frontends.mindir_primitives import RULES, Call, UnsupportedError
from toolchain.spec import SpecError

# First byte: AES-GCM, AES-CBC, SM4-CBC.
_ENCRYPTED = tuple(bytes([first, 0x5E, 0x3A, 0x7F]) for first in (0xD8, 0xD9, 0xDA))
# Primitives that hand on their first input.
_PASSING = ("Load", "Depend", "Return", "Identity", "StopGradient")
_AGAIN = "export it again with mindspore.export(..., file_format='MINDIR')"


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Read a MindIR file; see toolchain.frontends.read_model."""
    proto = _parse(path)
    return _Importer(path, proto).model(shapes)


def _parse(path: Path) -> Any:
    from google.protobuf.message import DecodeError

    data = path.read_bytes()
    if data.startswith(_ENCRYPTED):
        raise SpecError(f"{path}: is encrypted; export it without enc_key")
    proto = schema.model_class()()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        whose = b"MindSpore" in data[:64]
        what = "was cut short or damaged" if whose else "is no MindIR file"
        raise SpecError(f"{path}: {what} ({error}); {_AGAIN}") from error
    if proto.producer_name != "MindSpore" or not proto.ir_version:
        raise SpecError(f"{path}: is no MindIR file; {_AGAIN}")
    _check_version(path, proto)
    return proto


def _check_version(path: Path, proto: Any) -> None:
    where = f"{path}, of MindSpore {proto.model_version or proto.producer_version}"
    if not proto.HasField("mind_ir_version"):  # the last field that is written
        raise SpecError(
            f"{where}: has no mind_ir_version; it was cut short, or is older than "
            f"MindSpore 2; {_AGAIN}"
        )
    if not 1 <= proto.mind_ir_version <= schema.NEWEST:
        raise SpecError(
            f"{where}: version {proto.mind_ir_version} of MindIR is unknown; known are "
            f"1 to {schema.NEWEST}"
        )
    if not proto.little_endian:
        raise SpecError(f"{where}: weights are big-endian; export on a little-endian")


@dataclass
class _Importer:
    path: Path
    proto: Any
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @cached_property
    def primitives(self) -> dict[str, Any]:
        """By the name that nodes call them."""
        return {p.name: p for p in self.proto.primitives}

    def model(self, shapes: Mapping[str, tuple[int, ...]]) -> Model:
        """The whole model. Errors: SpecError, with every reason at once."""
        from tvm import relax

        graph = self.proto.graph
        self._read_parameters()
        names, parameters = self._read_inputs(shapes)
        self._check_primitives()
        self._raise_problems()
        builder = relax.BlockBuilder()
        with builder.function("main", parameters):
            with builder.dataflow():
                for node in graph.node:
                    self._read_node(node, builder)
                self._raise_problems()
                found = _flat([self._value(o.name) for o in graph.output])
                self._raise_problems()
                results = [builder.emit_output(value) for value in found]
            builder.emit_func_output(
                results[0] if len(results) == 1 else relax.Tuple(results)
            )
        many = len(results) > 1
        outputs = [f"output{i}" if many else "output" for i in range(len(results))]
        name = plain(self.path.stem)
        return Model(name, builder.get(), [plain(n) for n in names], outputs)

    def _raise_problems(self) -> None:
        if self.problems:
            text = "\n".join(dict.fromkeys(self.problems))
            raise SpecError(f"{self.path}: the model cannot be built:\n{text}")

    def _name(self, text: str) -> str:
        """A name as the user wrote it: without that of the graph."""
        return text.removeprefix(f"{self.proto.graph.name}:")

    def _value(self, name: str) -> Any:
        if name not in self.values:
            self.problems.append(f"value {name!r} is nowhere defined; {_AGAIN}")
        return self.values.get(name)

    def _read_parameters(self) -> None:
        from tvm import relax

        for tensor in self.proto.graph.parameter:
            try:
                data = _array(tensor, self.path.parent)
            except UnsupportedError as error:
                self.problems.append(f"parameter {self._name(tensor.name)}: {error}")
            else:
                self.values[tensor.name] = relax.const(data, str(data.dtype))

    def _read_inputs(
        self, shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[str], list[Any]]:
        from tvm import relax

        names, parameters = [], []
        known = {self._name(i.name) for i in self.proto.graph.input}
        for name in shapes.keys() - known:
            self.problems.append(
                f"--shape {name}: is no input; inputs are {', '.join(sorted(known))}"
            )
        for value in self.proto.graph.input:
            name = self._name(value.name)
            if len(value.tensor) != 1:
                self.problems.append(f"input {name}: is no tensor")
                continue
            tensor = value.tensor[0]
            shape = self._shape(name, tuple(tensor.dims), shapes.get(name))
            dtype = schema.DTYPES.get(tensor.data_type)
            if dtype is None:
                self.problems.append(
                    f"input {name}: dtype {tensor.data_type} is unsupported; "
                    f"use {', '.join(dict.fromkeys(schema.DTYPES.values()))}"
                )
            if shape is None or dtype is None:
                continue
            variable = relax.Var(plain(name), relax.TensorType(shape, dtype))
            self.values[value.name] = variable
            names.append(name)
            parameters.append(variable)
        return names, parameters

    def _shape(
        self, name: str, sizes: tuple[int, ...], given: tuple[int, ...] | None
    ) -> tuple[int, ...] | None:
        """The shape of an input; -1 is a size left open, -2 stands for any rank."""
        text = ", ".join(
            "?" if n == -1 else "..." if n == -2 else str(n) for n in sizes
        )
        if given is None:
            if min(sizes, default=0) >= 0:
                return sizes
            example = ",".join("1" if n < 0 else str(n) for n in sizes)
            self.problems.append(
                f"input {name}: shape [{text}] leaves sizes open; "
                f"give them, as in --shape {name}={example}"
            )
            return None
        same_rank = len(given) == len(sizes) or -2 in sizes
        if same_rank and all(
            n in (m, -1, -2) for n, m in zip(sizes, given, strict=False)
        ):
            return given
        self.problems.append(f"--shape {name}: {list(given)} is not [{text}]")
        return None

    def _check_primitives(self) -> None:
        """Every node that has no rule, before any is converted."""
        primitives = self.primitives
        functions = {f.name for f in self.proto.functions}
        for node in self.proto.graph.node:
            if node.op_type == "Constant":
                continue
            key = node.op_type.removeprefix("REF::")
            if key in functions or key in self.values:
                self.problems.append(
                    f"node {self._where(node)}: calls the function {key}; control "
                    "flow is unsupported"
                )
            elif key not in primitives:
                self.problems.append(
                    f"node {self._where(node)}: primitive {key} is not in the file; "
                    f"{_AGAIN}"
                )
            elif not _supported(primitives[key].op_type):
                self.problems.append(
                    f"node {self._where(node)}: primitive {primitives[key].op_type} "
                    "is unsupported"
                )

    def _where(self, node: Any) -> str:
        return str(node.domain or self._name(node.name))

    def _read_node(self, node: Any, builder: Any) -> None:
        (output,) = node.output
        try:
            self.values[output] = self._result(node, builder)
        except UnsupportedError as error:
            self.problems.append(f"node {self._where(node)}: {error}")
            self._raise_problems()  # what follows would only repeat it

    def _result(self, node: Any, builder: Any) -> Any:
        if node.op_type == "Constant":
            return _attribute(node.attribute[0], self.path.parent)
        key = node.op_type.removeprefix("REF::")
        primitive = self.primitives[key]
        kind = primitive.op_type
        if kind == "UpdateState":
            return None
        inputs = [self._value(i) for i in node.input]
        self._raise_problems()
        if kind in _PASSING:
            return inputs[0]
        if kind in ("MakeTuple", "MakeList"):
            return inputs
        if kind in ("TupleGetItem", "ListGetItem"):
            return inputs[0][inputs[1]]
        attributes = {
            a.name: _attribute(a, self.path.parent) for a in primitive.attribute
        }
        result = RULES[kind](Call(kind, inputs, attributes, builder))
        return result if isinstance(result, list) else builder.emit(result)


CONTROL = (
    *("UpdateState", "MakeTuple", "MakeList", "TupleGetItem", "ListGetItem"),
    *_PASSING,
)


def _supported(kind: str) -> bool:
    return kind in RULES or kind in CONTROL


def _flat(values: Any) -> list[Any]:
    if isinstance(values, (list, tuple)):
        return [v for each in values for v in _flat(each)]
    return [values]


def _attribute(attribute: Any, folder: Path) -> Any:
    """The value of an attribute as Python has it; tensors become numpy's arrays."""
    kind = attribute.type
    if kind in schema.SEQUENCES:
        return [_attribute(v, folder) for v in attribute.values]
    if kind == schema.TENSOR:
        return _array(attribute.t, folder)
    if kind == schema.STRING:
        return _one(attribute, "s", "strings", lambda s: s.decode(errors="replace"))
    if kind == schema.BOOL:
        return _one(attribute, "i", "ints", bool)
    if kind == schema.FLOAT:
        return _one(attribute, "f", "floats", float)
    if kind == schema.DOUBLE:
        return _one(attribute, "d", "doubles", float)
    if kind in schema.INTEGERS:
        return _one(attribute, "i", "ints", int)
    if kind == schema.TENSORS and len(attribute.tensors) == 1:
        # A type such as the one that Cast makes, or a tensor in a list.
        tensor = attribute.tensors[0]
        return _array(tensor, folder) if tensor.raw_data else tensor.data_type
    return None


def _one(attribute: Any, single: str, several: str, convert: Any) -> Any:
    """The number of an attribute; elements of a tuple are stored as a list of one."""
    if attribute.HasField(single):
        return convert(getattr(attribute, single))
    values = [convert(v) for v in getattr(attribute, several)]
    return values[0] if len(values) == 1 else values


def _array(tensor: Any, folder: Path) -> NDArray[Any]:
    """Elements of a tensor. Errors: UnsupportedError."""
    dtype = schema.DTYPES.get(tensor.data_type)
    if dtype is None:
        raise UnsupportedError(f"dtype {tensor.data_type} is unsupported")
    if tensor.compression_type:
        raise UnsupportedError("its weights are compressed; export without compression")
    shape = tuple(tensor.dims)
    want = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    data = tensor.raw_data
    if tensor.HasField("external_data"):
        data = _external(tensor.external_data, folder, want)
    if len(data) != want:
        raise UnsupportedError(f"has {len(data)} bytes of {want}; its data are missing")
    return np.frombuffer(data, dtype).reshape(shape)


def _external(place: Any, folder: Path, size: int) -> bytes:
    path: Path = folder / str(place.location)
    if not path.is_file():
        raise UnsupportedError(
            f"its data are in {path}, which is missing; put it there"
        )
    with path.open("rb") as file:
        file.seek(place.offset)
        return file.read(size)
