"""MindIR: a file that MindSpore exported becomes Relax, without MindSpore.

A node names a primitive, whose attributes stand elsewhere in the file; what other
formats keep as attributes (axes, epsilon, whether a factor is transposed) may be
inputs here. Load, Depend and UpdateState order side effects; inference has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.dtypes import NAMES as DTYPES
from toolchain.frontends import Given, Model, OpenSizesError, Places, plain
from toolchain.frontends import mind_ir_schema as schema
from toolchain.frontends.load import beside
from toolchain.frontends.mindir_primitives import RULES, Call, UnsupportedError
from toolchain.frontends.standard import excess
from toolchain.process import confined
from toolchain.spec import SpecError

# First byte: AES-GCM, AES-CBC, SM4-CBC.
_ENCRYPTED = tuple(bytes([first, 0x5E, 0x3A, 0x7F]) for first in (0xD8, 0xD9, 0xDA))
# Primitives that hand on their first input.
_PASSING = ("Load", "Depend", "Return", "Identity", "StopGradient")
_AGAIN = "export it again with mindspore.export(..., file_format='MINDIR')"


def read(path: Path, given: Given) -> Model:
    """Read a MindIR file; see toolchain.frontends.read_model."""
    proto = _parse(path)
    return _Importer(path, proto, given).model()


def _parse(path: Path) -> Any:
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise SpecError(f"{path}: no such file; give the path of a MindIR file")
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
    given: Given
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    options: list[str] = field(default_factory=list)  # that would give open sizes

    @cached_property
    def primitives(self) -> dict[str, Any]:
        """By the name that nodes call them."""
        return {p.name: p for p in self.proto.primitives}

    def model(self) -> Model:
        """The whole model. Errors: SpecError, with every reason at once."""
        from tvm import relax

        graph = self.proto.graph
        self._read_parameters()
        names, parameters = self._read_inputs()
        self._check_primitives()
        self._raise_problems()
        builder = relax.BlockBuilder()
        with builder.function("main", parameters):
            with builder.dataflow():
                for node in graph.node:
                    self._read_node(node, builder)
                self._raise_problems()
                found = _flat([self._value(o.name) for o in graph.output])
                for value in found:
                    self._check_output(value)
                self._raise_problems()
                results = [builder.emit_output(value) for value in found]
            builder.emit_func_output(
                results[0] if len(results) == 1 else relax.Tuple(results)
            )
        many = len(results) > 1
        outputs = [f"output{i}" if many else "output" for i in range(len(results))]
        name = plain(self.path.stem)
        inputs = [plain(n) for n in names]
        places = self.places.names
        places |= {
            n: places.get(getattr(v, "name", ""), n)
            for n, v in zip(outputs, found, strict=True)
        }
        return Model(name, builder.get(), inputs, outputs, places)

    def _raise_problems(self) -> None:
        if self.problems:
            text = "\n".join(dict.fromkeys(self.problems))
            text = f"{self.path}: the model cannot be built:\n{text}"
            raise (
                OpenSizesError(text, self.options) if self.options else SpecError(text)
            )

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
                data = _array(tensor, self.path)
            except UnsupportedError as error:
                self.problems.append(f"parameter {self._name(tensor.name)}: {error}")
            else:
                self.values[tensor.name] = relax.const(data, str(data.dtype))

    def _check_given(self) -> None:
        """Where the user names inputs or sizes that the file does not have."""
        known = {self._name(i.name) for i in self.proto.graph.input}
        inputs = ", ".join(sorted(known))
        for option, names in (
            ("--shape", self.given.shapes),
            ("--value", self.given.values),
        ):
            for name in sorted(names.keys() - known):
                self.problems.append(
                    f"{option} {name}: is no input; inputs are {inputs}"
                )
        for name in self.given.dims:
            self.problems.append(
                f"--dim {name}: MindIR names no sizes; give whole shapes by --shape, "
                f"of {inputs}"
            )

    def _constant(
        self, name: str, shape: tuple[int, ...], dtype: str, texts: Sequence[str]
    ) -> Any:
        """An input that is given as a constant."""
        from toolchain.frontends.sizes import elements

        try:
            return elements(texts, np.dtype(dtype), shape)
        except ValueError as error:
            self.problems.append(f"--value {name}={','.join(texts)}: {error}")
            return np.zeros(shape, dtype)

    def _check_output(self, value: Any) -> None:
        """Refuse an output that modules cannot give."""
        dtype = str(getattr(getattr(value, "ty", None), "dtype", "no tensor"))
        if dtype not in DTYPES:
            self.problems.append(
                f"an output is {dtype}; modules give {', '.join(DTYPES)}"
            )

    def _read_inputs(self) -> tuple[list[str], list[Any]]:
        from tvm import relax

        names, parameters = [], []
        self._check_given()
        for value in self.proto.graph.input:
            name = self._name(value.name)
            if len(value.tensor) != 1:
                self.problems.append(f"input {name}: is no tensor")
                continue
            tensor = value.tensor[0]
            shape = self._shape(name, tuple(tensor.dims))
            dtype = schema.DTYPES.get(tensor.data_type)
            if dtype not in DTYPES:
                self.problems.append(
                    f"input {name}: dtype {dtype or tensor.data_type} is unsupported; "
                    f"modules take {', '.join(DTYPES)}"
                )
                continue
            if shape is None:
                continue
            if wrong := excess(shape, dtype):
                self.problems.append(f"input {name}: {wrong}")
                continue
            if name in self.given.values:
                data = self._constant(name, shape, dtype, self.given.values[name])
                self.values[value.name] = relax.const(data, dtype)
                continue
            variable = relax.Var(plain(name), relax.TensorType(shape, dtype))
            self.values[value.name] = variable
            names.append(name)
            parameters.append(variable)
        return names, parameters

    def _shape(self, name: str, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of an input; -1 is a size left open, -2 stands for any rank."""
        given = self.given.shapes.get(name)
        text = ", ".join(
            "?" if n == -1 else "..." if n == -2 else str(n) for n in sizes
        )
        if given is None:
            if min(sizes, default=0) >= 0:
                return sizes
            example = ",".join("1" if n < 0 else str(n) for n in sizes)
            self.options += ["--shape", f"{name}={example}"]
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
        """Every primitive that has no rule, before any node is converted."""
        primitives = self.primitives
        functions = {f.name for f in self.proto.functions}
        groups: dict[str, list[str]] = {}
        for node in self.proto.graph.node:
            key = node.op_type.removeprefix("REF::")
            if node.op_type == "Constant":
                continue
            if key in functions or key in self.values:
                text = f"calls the function {key}; control flow is unsupported"
            elif key not in primitives:
                text = f"primitive {key} is not in the file; {_AGAIN}"
            elif not _supported(primitives[key].op_type):
                text = f"primitive {primitives[key].op_type} is unsupported"
            else:
                continue
            groups.setdefault(text, []).append(self._where(node))
        for text, nodes in groups.items():
            more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
            self.problems.append(f"node {nodes[0]}{more}: {text}")

    def _where(self, node: Any) -> str:
        return str(node.domain or self._name(node.name))

    def _read_node(self, node: Any, builder: Any) -> None:
        at = f"node {self._where(node)}"
        confined.at(at)
        try:
            (output,) = node.output
            self.values[output] = self._checked(self._result(node, builder))
            self.places.add(_flat(self.values[output]), at)
        except UnsupportedError as error:
            self.problems.append(f"{at}: {error}")
        except (MemoryError, RecursionError, SpecError):
            raise
        except Exception as error:  # whatever TVM raises for what it was given
            primitive = node.op_type.removeprefix("REF::")
            inputs = ", ".join(
                f"{v.ty.dtype}{[int(n) for n in v.ty.shape]}"
                for v in (self.values[n] for n in node.input if n in self.values)
                if hasattr(getattr(v, "ty", None), "dtype")
            )
            self.problems.append(
                f"{at}: {primitive} cannot be converted from {inputs or 'its inputs'}; "
                f"change or leave out this node{confined.words(str(error))}"
            )
        self._raise_problems()  # what follows would only repeat it

    def _checked(self, result: Any) -> Any:
        """A node's result, with tensors as the runtime has them."""
        from tvm import relax

        for value in _flat(result):
            kind = getattr(value, "ty", None)
            if not isinstance(kind, relax.TensorType):
                continue
            sizes = getattr(kind.shape, "values", None)
            if sizes is None or any(not hasattr(n, "value") for n in sizes):
                raise UnsupportedError("the shape of its result depends on elements")
            if wrong := excess([int(n) for n in sizes], str(kind.dtype)):
                raise UnsupportedError(f"its result {wrong}")
        return result

    def _result(self, node: Any, builder: Any) -> Any:
        if node.op_type == "Constant":
            return _attribute(node.attribute[0], self.path, strict=True)
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
        attributes = {a.name: _attribute(a, self.path) for a in primitive.attribute}
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


def _attribute(attribute: Any, path: Path, strict: bool = False) -> Any:
    """The value of an attribute as Python has it; tensors become numpy's arrays.

    strict: raise UnsupportedError for types that are unknown. Attributes of primitives
    have many that no rule reads.
    """
    kind = attribute.type
    if kind in schema.SEQUENCES:
        return [_attribute(v, path, strict) for v in attribute.values]
    if kind == schema.TENSOR:
        return _array(attribute.t, path)
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
        # A type, as Cast makes, or a tensor in a list.
        tensor = attribute.tensors[0]
        return _array(tensor, path) if tensor.raw_data else tensor.data_type
    if strict and kind not in schema.EMPTY:
        raise UnsupportedError(f"holds a value of type {kind}, which is unknown")
    return None


def _one(attribute: Any, single: str, several: str, convert: Any) -> Any:
    """The number of an attribute; an element of a tuple is a list of length 1."""
    if attribute.HasField(single):
        return convert(getattr(attribute, single))
    values = [convert(v) for v in getattr(attribute, several)]
    return values[0] if len(values) == 1 else values


def _array(tensor: Any, path: Path) -> NDArray[Any]:
    """Elements of a tensor. Errors: UnsupportedError."""
    dtype = schema.DTYPES.get(tensor.data_type)
    if dtype is None:
        raise UnsupportedError(f"dtype {tensor.data_type} is unsupported")
    if tensor.compression_type:
        raise UnsupportedError("its weights are compressed; export without compression")
    shape = tuple(tensor.dims)
    want = prod(shape) * np.dtype(dtype).itemsize
    data = tensor.raw_data
    if tensor.HasField("external_data"):
        data = _external(tensor.external_data, path, want)
    if len(data) != want or min(shape, default=0) < 0:
        raise UnsupportedError(
            f"has {len(data)} bytes of {want} for shape {list(shape)}; its data are "
            "missing"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _external(place: Any, path: Path, size: int) -> bytes:
    try:
        file = beside(path, str(place.location))
    except SpecError as error:
        raise UnsupportedError(str(error)) from None
    if place.offset < 0 or file.stat().st_size < place.offset + size:
        raise UnsupportedError(
            f"is at byte {place.offset} of {file}, which has {file.stat().st_size} "
            f"bytes, and takes {size}; copy the file again"
        )
    with file.open("rb") as data:
        data.seek(place.offset)
        return data.read(size)
