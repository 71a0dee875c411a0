"""Room: how much memory a module sets aside for calls of its operators."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain import abi, layout
from toolchain.codegen.data import Data, struct_constant
from toolchain.codegen.limits import Fixed
from toolchain.micro.builder import I8, I64
from toolchain.spec import DTYPES, Attribute, Operator


@dataclass(frozen=True)
class Room:
    """What the calls of an operator need, and its signature.

    arguments: of a call, at most. text: bytes of the signature, at most.
    """

    arguments: int
    text: int


def operator_room(operator: Operator, kernels: Iterable[str]) -> Room:
    """The room that an operator needs for its kernels of those names."""
    arguments, each = argument_counts(operator)
    text = max(map(len, kernels), default=0)
    text += sum(_tensor_text(t.name) for t in operator.tensors())
    text += sum(_attribute_text(a) for a in operator.attributes)
    return Room(arguments + each * operator.max_units(), text + _AROUND)


def argument_counts(operator: Operator) -> tuple[int, int]:
    """Arguments of a call that come once, and arguments that come for each unit."""
    tensors, attributes = operator.tensors(), operator.attributes
    return (
        sum(not t.variadic for t in tensors) + sum(not a.per_unit for a in attributes),
        sum(t.variadic for t in tensors) + sum(a.per_unit for a in attributes),
    )


# Of a signature (runtime_stub/signature.c), beside its parts: "() -> ()", the end.
_AROUND = 9


def _tensor_text(name: str) -> int:
    """The most bytes of ", <name>...: float32"."""
    return len(name.encode()) + len(", ...: ") + max(map(len, DTYPES))


def _attribute_text(attribute: Attribute) -> int:
    """The most bytes of "; <name>: float[4]{a=0,b=1} = 0.5 >= 0 <= 1"."""
    numbers = (attribute.default or 0.0, *attribute.limits())
    return (
        len(f"; {attribute.name}: float[255]{{}} =  >=  <= ")
        + sum(len(f"{choice}={i},") for i, choice in enumerate(attribute.choices))
        + sum(map(_number_text, numbers))
    )


def _number_text(value: float) -> int:
    """The most bytes of a number: sign, 19 digits, exponent; small ones in full."""
    small = 0 < abs(value) < 1
    return 24 + (int(-math.log10(abs(value))) if small else 0)


def room(rooms: Iterable[Room]) -> str:
    """IR of a module's state (runtime_stub/state.h): room for each operator."""
    known = [Room(0, 1), *rooms]
    arguments, text = max(r.arguments for r in known), max(r.text for r in known)
    data = Data("room")
    state = abi.STATE_BYTES + abi.CHECKED_TENSOR_BYTES * arguments
    data.room("ops_state", I8, state).align = abi.ALIGNMENT
    data.room("ops_room_slots", I64, arguments).align = abi.SLOT_BYTES
    data.room("ops_room_text", I8, text)
    size = struct_constant(layout.ROOM, arguments=arguments, text=text)
    data.constant("ops_room_size", size)
    return str(data.module)


def fixed_room(name: str, tensors: list[Fixed]) -> Room:
    """The room that the operator of fixed_descriptor needs."""
    text = len(name) + sum(_tensor_text(n) for n, _, _ in tensors)
    return Room(len(tensors), text + _AROUND)
