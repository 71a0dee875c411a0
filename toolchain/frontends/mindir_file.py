"""Files of MindIR: what a protobuf that MindSpore wrote says, as numpy and Python."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.frontends import mindir_schema as schema
from toolchain.frontends.load import beside, check_size
from toolchain.spec import SpecError

# First byte: AES-GCM, AES-CBC, SM4-CBC.
_ENCRYPTED = tuple(bytes([first, 0x5E, 0x3A, 0x7F]) for first in (0xD8, 0xD9, 0xDA))
AGAIN = "export it again with mindspore.export(..., file_format='MINDIR')"


def parse(path: Path) -> Any:
    """The ModelProto of a file. Errors: SpecError."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise SpecError(f"{path}: no such file; give the path of a MindIR file")
    check_size(path, path.stat().st_size)
    data = path.read_bytes()
    if data.startswith(_ENCRYPTED):
        raise SpecError(f"{path}: is encrypted; export it without enc_key")
    proto = schema.model_class()()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        whose = b"MindSpore" in data[:64]
        what = "was cut short or damaged" if whose else "is no MindIR file"
        raise SpecError(f"{path}: {what} ({error}); {AGAIN}") from error
    if proto.producer_name != "MindSpore" or not proto.ir_version:
        raise SpecError(f"{path}: is no MindIR file; {AGAIN}")
    _check_version(path, proto)
    return proto


def _check_version(path: Path, proto: Any) -> None:
    where = f"{path}, of MindSpore {proto.model_version or proto.producer_version}"
    if not proto.HasField("mind_ir_version"):  # the last field that is written
        raise SpecError(
            f"{where}: has no mind_ir_version; it was cut short, or is older than "
            f"MindSpore 2; {AGAIN}"
        )
    if not 1 <= proto.mind_ir_version <= schema.NEWEST:
        raise SpecError(
            f"{where}: version {proto.mind_ir_version} of MindIR is unknown; known are "
            f"1 to {schema.NEWEST}"
        )
    if not proto.little_endian:
        raise SpecError(f"{where}: weights are big-endian; export on a little-endian")


def value_of(attribute: Any, path: Path, strict: bool = False) -> Any:
    """The value of an attribute as Python has it.

    Tensors become numpy's arrays, tuples lists, types the names of dtypes. strict:
    raise SpecError for types that are unknown. Attributes of primitives have many
    that no rule reads.
    """
    kind = attribute.type
    if kind in schema.SEQUENCES:
        return [value_of(v, path, strict) for v in attribute.values]
    if kind == schema.TENSOR:
        return array_of(attribute.t, path)
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
        if tensor.raw_data or 0 in tensor.dims:
            return array_of(tensor, path)
        return schema.DTYPES.get(tensor.data_type, f"type {tensor.data_type}")
    if strict and kind not in schema.EMPTY:
        raise SpecError(f"holds a value of type {kind}, which is unknown")
    return None


def _one(
    attribute: Any, single: str, several: str, convert: Callable[[Any], Any]
) -> Any:
    """The number of an attribute; an element of a tuple is a list of length 1."""
    if attribute.HasField(single):
        return convert(getattr(attribute, single))
    values = [convert(v) for v in getattr(attribute, several)]
    return values[0] if len(values) == 1 else values


def array_of(tensor: Any, path: Path) -> NDArray[Any]:
    """Elements of a tensor. Errors: SpecError."""
    dtype = schema.DTYPES.get(tensor.data_type)
    if dtype is None:
        raise SpecError(f"dtype {tensor.data_type} is unsupported; use float32")
    if tensor.compression_type:
        raise SpecError("its weights are compressed; export without compression")
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise SpecError(f"has shape {list(shape)}; {AGAIN}")
    want = prod(shape) * np.dtype(dtype).itemsize
    data = tensor.raw_data
    if tensor.HasField("external_data"):
        data = _external(tensor.external_data, path, want)
    if len(data) != want:
        raise SpecError(
            f"has {len(data)} bytes of {want} for shape {list(shape)}; its data are "
            "missing"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _external(place: Any, path: Path, size: int) -> bytes:
    file = beside(path, str(place.location))
    if place.offset < 0 or file.stat().st_size < place.offset + size:
        raise SpecError(
            f"is at byte {place.offset} of {file}, which has {file.stat().st_size} "
            f"bytes, and takes {size}; copy the file again"
        )
    with file.open("rb") as data:
        data.seek(place.offset)
        return data.read(size)
