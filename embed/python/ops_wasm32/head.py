"""Head: what stands at the start of a call's memory: arguments, tensors, shapes.

What the module has written there is checked before it is used: the file may be
anybody's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ops_wasm32.binding import Bound
from ops_wasm32.errors import ModuleError
from ops_wasm32.packing import (
    ARGUMENT_BYTES,
    TENSOR_BYTES,
    Tensor,
    pack_attribute,
    pack_pointer,
    pack_tensor,
    unpack_tensor,
)
from ops_wasm32.signature import Param
from ops_wasm32.tables import DTYPES, MAX_RANK

Shape = tuple[int, ...]
_WORD = 8  # bytes; data of any dtype is aligned to it
_MOST = 1 << 56  # elements: numpy counts bytes in 63 bits


@dataclass(frozen=True)
class Block:
    """An output that the module has allocated, which the host frees."""

    name: str
    address: int
    dtype: str
    shape: Shape

    @property
    def bytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def head_bytes(bound: Bound) -> int:
    """How long the head of a call is."""
    tensors = [*bound.inputs, *bound.outputs]
    ranks = [max(MAX_RANK, x.ndim if x is not None else 0) for x in bound.inputs]
    shapes = 8 * (sum(ranks) + MAX_RANK * len(bound.outputs))
    arguments = ARGUMENT_BYTES * (len(tensors) + len(bound.attributes))
    return arguments + TENSOR_BYTES * len(tensors) + shapes


def pack_head(
    bound: Bound, shapes: list[Shape], arena: int, addresses: list[int]
) -> bytes:
    """Arguments, tensors, then shapes: what stands at the start of the arena."""
    ranks = [*(-1 if x is None else x.ndim for x in bound.inputs), *map(len, shapes)]
    sizes = [*(() if x is None else x.shape for x in bound.inputs), *shapes]
    dtypes = [p.dtype for p in _params(bound)]
    count = len(ranks) + len(bound.attributes)
    tensor_at = arena + ARGUMENT_BYTES * count
    shape_at = tensor_at + TENSOR_BYTES * len(ranks)
    arguments, tensors, dimensions = [], [], []
    for rank, size, dtype, address in zip(ranks, sizes, dtypes, addresses, strict=True):
        room = max(MAX_RANK, rank)
        absent = rank < 0
        arguments.append(pack_pointer(None if absent else tensor_at))
        known = None if absent else dtype
        tensors.append(pack_tensor(address, max(rank, 0), known, shape_at))
        dimensions.append(struct.pack(f"<{room}q", *size, *[0] * (room - len(size))))
        tensor_at += TENSOR_BYTES
        shape_at += 8 * room
    arguments += map(pack_attribute, bound.attributes)
    return b"".join((*arguments, *tensors, *dimensions))


def _params(bound: Bound) -> list[Param]:
    """A parameter for each tensor of a call."""
    params = bound.kernel.inputs
    extra = len(bound.inputs) - len(params)
    inputs = [*params[:-1], *[params[-1]] * (extra + 1)] if params else []
    return [*inputs, *bound.outputs]


def output_shapes(bound: Bound, head: bytes) -> list[Shape]:
    """Shapes that ops_infer has put into the output tensors of a head."""
    return [_shape(*output) for output in _outputs(bound, head, "ops_infer")]


def shapes_after(bound: Bound, head: bytes, largest: list[Shape]) -> list[Shape]:
    """Shapes of the outputs after a call, which may have found fewer elements."""
    shapes = [_shape(*output) for output in _outputs(bound, head, "ops_call")]
    for shape, most in zip(shapes, largest, strict=True):
        if math.prod(shape) > math.prod(most):
            raise ModuleError(
                f"{bound.kernel.name}: ops_call gave shape {shape} beyond {most}"
            )
    return shapes


def output_blocks(bound: Bound, head: bytes, memory: int) -> list[Block]:
    """The outputs that ops_call has allocated, by the head after it.

    memory: how many bytes the module has. Errors: ModuleError for what lies outside of
    them, or cannot be in them together.
    """
    blocks: list[Block] = []
    for place, fields, sizes in _outputs(bound, head, "ops_call"):
        param = bound.outputs[len(blocks)]
        if (fields.code, fields.bits, fields.lanes) != (*DTYPES[param.dtype], 1):
            raise ModuleError(f"{place} another dtype than {param.dtype}")
        shape = _shape(place, fields, sizes)
        block = Block(param.name, fields.data, param.dtype, shape)
        # Without elements too: numpy multiplies the sizes beside a 0.
        if math.prod(n for n in shape if n) > _MOST:
            raise ModuleError(f"{place} shape {shape}")
        if not block.address or block.address % _WORD:
            raise ModuleError(f"{place} data at {block.address}, which is no block")
        if block.address + block.bytes > memory:
            raise ModuleError(f"{place} {block.bytes} bytes outside memory")
        blocks.append(block)
    if (size := sum(b.bytes for b in blocks)) > memory:
        raise ModuleError(
            f"{bound.kernel.name}: ops_call gave outputs of {size} bytes, more than "
            "memory has"
        )
    return blocks


def _outputs(
    bound: Bound, head: bytes, function: str
) -> Iterator[tuple[str, Tensor, Shape]]:
    """Of each output what errors call it, its tensor and its room for sizes."""
    tensors = len(bound.inputs) + len(bound.outputs)
    tensor_at = ARGUMENT_BYTES * (tensors + len(bound.attributes))
    shape_at = head_bytes(bound) - 8 * MAX_RANK * len(bound.outputs)
    tensor_at += TENSOR_BYTES * len(bound.inputs)
    for param in bound.outputs:
        place = f"{bound.kernel.name}: {function} gave {param.name}"
        sizes = struct.unpack_from(f"<{MAX_RANK}q", head, shape_at)
        yield place, unpack_tensor(head, tensor_at), sizes
        tensor_at += TENSOR_BYTES
        shape_at += 8 * MAX_RANK


def _shape(place: str, fields: Tensor, sizes: Shape) -> Shape:
    """The shape of an output, out of its room. Errors: ModuleError."""
    if not 0 <= fields.rank <= MAX_RANK:
        raise ModuleError(f"{place} rank {fields.rank}")
    shape = sizes[: fields.rank]
    if min(shape, default=0) < 0:
        raise ModuleError(f"{place} shape {shape}")
    return shape
