"""Packing: arguments and tensors in bytes, as modules read them."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ops_wasm32.tables import (
    ARGUMENT,
    DTYPES,
    KIND_FLOAT,
    KIND_INT,
    KIND_NONE,
    KIND_TENSOR,
    TENSOR,
)

_ARGUMENT, _TENSOR = struct.Struct(ARGUMENT), struct.Struct(TENSOR)
ARGUMENT_BYTES, TENSOR_BYTES = _ARGUMENT.size, _TENSOR.size
_CPU = 1  # DLPack's device


class Tensor(NamedTuple):
    """A DLTensor, field by field; data, shape and strides are addresses."""

    data: int
    device_type: int
    device_id: int
    rank: int
    code: int
    bits: int
    lanes: int
    shape: int
    strides: int
    byte_offset: int


def pack_attribute(value: float | None) -> bytes:
    """An attribute: an int, a float, or None for its default."""
    if value is None:
        return _ARGUMENT.pack(KIND_NONE, 0, 0)
    if isinstance(value, int):
        return _ARGUMENT.pack(KIND_INT, 0, value)
    return _ARGUMENT.pack(KIND_FLOAT, 0, *struct.unpack("<q", struct.pack("<d", value)))


def pack_pointer(tensor: int | None) -> bytes:
    """A tensor as an argument: where its DLTensor lies, or None where it is absent."""
    if tensor is None:
        return pack_attribute(None)
    return _ARGUMENT.pack(KIND_TENSOR, 0, tensor)


def pack_tensor(data: int, rank: int, dtype: str | None, shape: int) -> bytes:
    """A compact DLTensor; data and shape are addresses. dtype: None for no tensor."""
    code, bits = DTYPES[dtype] if dtype else (0, 0)
    return _TENSOR.pack(data, _CPU, 0, rank, code, bits, 1, shape, 0, 0)


def unpack_tensor(data: bytes, at: int) -> Tensor:
    """The DLTensor in some bytes, as it says."""
    return Tensor(*_TENSOR.unpack_from(data, at))
