"""Instance: a module in wasmtime: its memory, its arena and its calls.

What the module answers is checked before it is used as an address: the file may
be anybody's.
"""

from __future__ import annotations

import ctypes
import math
import struct
from functools import cache
from typing import cast

import numpy as np
import wasmtime

from ops_wasm32.binding import Bound, Resident
from ops_wasm32.convert import Array
from ops_wasm32.errors import ModuleError, OpsError
from ops_wasm32.module import check_declarations
from ops_wasm32.packing import (
    ARGUMENT_BYTES,
    TENSOR_BYTES,
    pack_attribute,
    pack_pointer,
    pack_tensor,
    rank_at,
)
from ops_wasm32.signature import Param
from ops_wasm32.tables import (
    ALIGNMENT,
    ERROR_MEMORY,
    FUNCTIONS,
    MAX_MEMORY,
    MAX_RANK,
    PAGE,
)

# Operators are known by their numbers here.
_NEEDED = {name: n for name, n in FUNCTIONS.items() if name != "ops_find"}
# Bytes of a text that is read; the signature of a model of 4096 tensors is shorter.
_LONGEST_TEXT = 1 << 22
_TRAP = -1
_ARENA_STEP = PAGE  # the least that memory grows by anyway
_Shape = tuple[int, ...]


@cache
def shared_engine() -> wasmtime.Engine:
    """Make the engine that all modules of this process share."""
    return wasmtime.Engine()


def accepts(data: bytes) -> bool:
    """Whether the engine takes the module's features."""
    try:
        wasmtime.Module.validate(shared_engine(), data)
    except wasmtime.WasmtimeError:
        return False
    return True


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Instance:
    """A running module. Not safe for use by several threads at a time."""

    def __init__(
        self,
        data: bytes,
        what: str,
        engine: wasmtime.Engine | None = None,
        fuel: int | None = None,
    ) -> None:
        """Make an instance, which runs no code of the module.

        fuel: how many instructions may run in all, where the engine counts them.
        Errors: ModuleError.
        """
        check_declarations(data, what)
        engine = engine or shared_engine()
        self._store = wasmtime.Store(engine)
        if fuel is not None:
            self._store.set_fuel(fuel)
        try:
            module = wasmtime.Module(engine, data)
            _check_exports(module, what)
            exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ModuleError(f"{what}: cannot be loaded: {reason}") from None
        self._functions = {n: cast(wasmtime.Func, exports[n]) for n in _NEEDED}
        self._memory = cast(wasmtime.Memory, exports["memory"])
        self._arena = 0
        self._arena_bytes = 0
        self._shapes: dict[tuple[int, bytes], list[_Shape]] = {}

    def version(self) -> int:
        """Version of the ABI that the module speaks."""
        return self._run("ops_abi_version")

    def count(self) -> int:
        """How many operators the module says that it has."""
        return self._run("ops_count") & 0xFFFFFFFF

    def signature(self, index: int) -> str:
        """Signature of a kernel."""
        return self._text(self._run("ops_signature", index))

    def infer(self, bound: Bound) -> list[_Shape]:
        """Shapes of the outputs of a call."""
        self._reserve(_head_bytes(bound))
        return self._infer(bound)

    def call(self, bound: Bound) -> list[Array]:
        """Make a call; the outputs are copies."""
        self._reserve(_head_bytes(bound))
        shapes = self._infer(bound)
        sizes = [x.nbytes if isinstance(x, np.ndarray) else 0 for x in bound.inputs]
        sizes += [
            np.dtype(p.dtype).itemsize * math.prod(s)
            for p, s in zip(bound.outputs, shapes, strict=True)
        ]
        at, starts = _aligned(_head_bytes(bound)), []
        for size in sizes:
            starts.append(at)
            # An empty tensor gets an address of its own, inside the block.
            at += _aligned(max(size, 1))
        self._reserve(at)
        addresses = [self._arena + s for s in starts]
        for i, array in enumerate(bound.inputs):
            if isinstance(array, Resident):
                addresses[i] = array.address
        head = _head(bound, shapes, self._arena, addresses)
        base = self._base() + self._arena
        ctypes.memmove(base, head, len(head))
        for array, start in zip(bound.inputs, starts, strict=False):
            if isinstance(array, np.ndarray) and array.nbytes:
                ctypes.memmove(base + start, array.ctypes.data, array.nbytes)
        self._checked("ops_call", bound)
        base = self._base() + self._arena  # a workspace may have moved memory
        shapes = _late_shapes(bound, ctypes.string_at(base, len(head)), shapes)
        results = []
        first = len(bound.inputs)
        for param, shape, start in zip(
            bound.outputs, shapes, starts[first:], strict=True
        ):
            result = np.empty(shape, param.dtype)
            ctypes.memmove(result.ctypes.data, base + start, result.nbytes)
            results.append(result)
        return results

    def _infer(self, bound: Bound) -> list[_Shape]:
        """ops_infer, or what it said the last time the same was asked."""
        unknown: list[_Shape] = [()] * len(bound.outputs)
        addresses = [0] * (len(bound.inputs) + len(bound.outputs))
        head = _head(bound, unknown, self._arena, addresses)
        key = (bound.kernel.index, head)
        if (known := self._shapes.get(key)) is not None:
            return known
        ctypes.memmove(self._base() + self._arena, head, len(head))
        self._checked("ops_infer", bound)
        head = ctypes.string_at(self._base() + self._arena, len(head))
        shapes = _output_shapes(bound, head)
        if len(self._shapes) >= 256:  # bounds the memory of a host that varies sizes
            self._shapes.clear()
        self._shapes[key] = shapes
        return shapes

    def _checked(self, function: str, bound: Bound) -> None:
        count = len(bound.inputs) + len(bound.outputs) + len(bound.attributes)
        code = self._run(function, bound.kernel.index, self._arena, count)
        if code:
            raise OpsError(code, self._text(self._run("ops_last_error")))

    def _reserve(self, size: int) -> None:
        """Make the arena hold at least size bytes; its content is lost if it grows."""
        if size <= self._arena_bytes:
            return
        size = -(-size // _ARENA_STEP) * _ARENA_STEP
        self._shapes.clear()
        if self._arena:
            self._run("ops_free", self._arena)
        self._arena = self._arena_bytes = 0
        self._arena = self._alloc(size)
        self._arena_bytes = size

    def _alloc(self, size: int) -> int:
        """A block of the module's memory, which the module leaves to the host."""
        if size >= MAX_MEMORY:
            text = f"the call needs {size} bytes; wasm32 has less than 4 GiB"
            raise OpsError(ERROR_MEMORY, text)
        block = self._run("ops_alloc", size) & 0xFFFFFFFF
        if not block:
            raise OpsError(ERROR_MEMORY, self._text(self._run("ops_last_error")))
        if block + size > self._memory.data_len(self._store):
            raise ModuleError("ops_alloc gave a block outside memory")
        return block

    def keep(self, data: memoryview | bytes) -> Resident:
        """Put bytes into the module's memory for as long as it runs."""
        block = self._alloc(max(len(data), 1))
        source = np.frombuffer(data, np.uint8)
        ctypes.memmove(self._base() + block, source.ctypes.data, source.nbytes)
        return Resident(block, "uint8", (source.nbytes,))

    def _run(self, function: str, *arguments: int) -> int:
        try:
            result: int = self._functions[function](self._store, *arguments)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            text = f"{function} trapped: {reason}; load the module anew"
            raise OpsError(_TRAP, text) from None
        return result

    def _base(self) -> int:
        """Address of linear memory; it changes when memory grows."""
        return ctypes.addressof(self._memory.data_ptr(self._store).contents)

    def _text(self, address: int) -> str:
        """The text at an address; "" where that is outside memory."""
        at, text = address & 0xFFFFFFFF, b""
        size = self._memory.data_len(self._store)
        while at < size and len(text) < _LONGEST_TEXT:
            part = self._memory.read(self._store, at, min(at + 4096, size))
            head, end, _ = bytes(part).partition(b"\0")
            text += head
            if end:
                return text.decode("utf-8", "replace")
            at += len(part)
        return ""


def _check_exports(module: wasmtime.Module, what: str) -> None:
    """Raise ModuleError where a function of the ABI is missing or another one."""
    found = {export.name: export.type for export in module.exports}
    wrong = [
        name
        for name, count in _NEEDED.items()
        if not isinstance(kind := found.get(name), wasmtime.FuncType)
        or [list(map(str, t)) for t in (kind.params, kind.results)]
        != [["i32"] * count, ["i32"]]
    ]
    if not isinstance(found.get("memory"), wasmtime.MemoryType):
        wrong.append("memory")
    if wrong:
        raise ModuleError(
            f"{what}: is no module of operators; it does not export "
            f"{', '.join(wrong)} as ops_wasm32.h declares them"
        )


def _head_bytes(bound: Bound) -> int:
    tensors = [*bound.inputs, *bound.outputs]
    ranks = [max(MAX_RANK, x.ndim if x is not None else 0) for x in bound.inputs]
    shapes = 8 * (sum(ranks) + MAX_RANK * len(bound.outputs))
    arguments = ARGUMENT_BYTES * (len(tensors) + len(bound.attributes))
    return arguments + TENSOR_BYTES * len(tensors) + shapes


def _head(
    bound: Bound, shapes: list[_Shape], arena: int, addresses: list[int]
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


def _output_shapes(bound: Bound, head: bytes) -> list[_Shape]:
    """Shapes that ops_infer has put into the output tensors of the head."""
    tensors = len(bound.inputs) + len(bound.outputs)
    tensor_at = ARGUMENT_BYTES * (tensors + len(bound.attributes))
    shape_at = tensor_at + TENSOR_BYTES * tensors
    shape_at += sum(
        8 * max(MAX_RANK, x.ndim if x is not None else 0) for x in bound.inputs
    )
    shapes: list[_Shape] = []
    for i in range(len(bound.outputs)):
        at = tensor_at + TENSOR_BYTES * (len(bound.inputs) + i)
        rank = rank_at(head, at)
        if not 0 <= rank <= MAX_RANK:
            raise ModuleError(f"{bound.kernel.name}: ops_infer gave rank {rank}")
        shape = struct.unpack_from(f"<{rank}q", head, shape_at + 8 * MAX_RANK * i)
        if min(shape, default=0) < 0:
            raise ModuleError(f"{bound.kernel.name}: ops_infer gave shape {shape}")
        shapes.append(shape)
    return shapes


def _late_shapes(bound: Bound, head: bytes, largest: list[_Shape]) -> list[_Shape]:
    """Shapes of the outputs after a call, which may have found fewer elements."""
    shapes = _output_shapes(bound, head)
    for shape, most in zip(shapes, largest, strict=True):
        if math.prod(shape) > math.prod(most):
            raise ModuleError(
                f"{bound.kernel.name}: ops_call gave shape {shape} beyond {most}"
            )
    return shapes
