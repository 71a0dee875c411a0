"""Instance: a module in wasmtime: its memory, its arena and its calls.

What the module answers is checked before it is used as an address: the file may
be anybody's.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from typing import cast

import numpy as np
import wasmtime

from ops_wasm32.binding import Bound, Resident
from ops_wasm32.convert import Array
from ops_wasm32.errors import ArgumentError, ModuleError, OpsError
from ops_wasm32.head import (
    Shape,
    head_bytes,
    output_blocks,
    output_shapes,
    pack_head,
    shapes_after,
)
from ops_wasm32.module import check_declarations
from ops_wasm32.tables import ALIGNMENT, ERROR_MEMORY, FUNCTIONS, MAX_MEMORY, PAGE

# Operators are known by their numbers here.
_NEEDED = {name: n for name, n in FUNCTIONS.items() if name != "ops_find"}
# Bytes of a text that is read; the signature of a model of 4096 tensors is shorter.
_LONGEST_TEXT = 1 << 22
_TRAP = -1
_ARENA_STEP = PAGE  # the least that memory grows by anyway


@cache
def shared_engine() -> wasmtime.Engine:
    """Make the engine that all modules of this process share."""
    return wasmtime.Engine()


class RefusedError(ModuleError):
    """A module that the engine does not take, such as one with SIMD that it lacks."""


def compiled(data: bytes, what: str, engine: wasmtime.Engine) -> wasmtime.Module:
    """The module as the engine has compiled it. Errors: RefusedError."""
    try:
        return wasmtime.Module(engine, data)
    except wasmtime.WasmtimeError as error:
        raise RefusedError(f"{what}: cannot be loaded: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Instance:
    """A running module. Not safe for use by several threads at a time."""

    def __init__(
        self,
        data: bytes | wasmtime.Module,
        what: str,
        engine: wasmtime.Engine | None = None,
        fuel: int | None = None,
    ) -> None:
        """Make an instance, which runs no code of the module.

        data: of the module's file, or the module that the engine has compiled; what it
        declares was checked then. fuel: how many instructions may run in all, where the
        engine counts them. Errors: ModuleError.
        """
        engine = engine or shared_engine()
        if isinstance(data, bytes):
            check_declarations(data, what)
            data = compiled(data, what, engine)
        self._store = wasmtime.Store(engine)
        if fuel is not None:
            self._store.set_fuel(fuel)
        try:
            _check_exports(data, what)
            exports = wasmtime.Instance(self._store, data, []).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise ModuleError(f"{what}: cannot be loaded: {_reason(error)}") from None
        self._functions = {n: cast(wasmtime.Func, exports[n]) for n in _NEEDED}
        self._memory = cast(wasmtime.Memory, exports["memory"])
        self._arena = 0
        self._arena_bytes = 0
        self._shapes: dict[tuple[int, bytes], list[Shape]] = {}

    def version(self) -> int:
        """Version of the ABI that the module speaks."""
        return self._run("ops_abi_version")

    def count(self) -> int:
        """How many operators the module says that it has."""
        return self._run("ops_count") & 0xFFFFFFFF

    def signature(self, index: int) -> str:
        """Signature of a kernel."""
        return self._text(self._run("ops_signature", index))

    def infer(self, bound: Bound) -> list[Shape]:
        """Shapes of the outputs of a call."""
        self._reserve(head_bytes(bound))
        return self._infer(bound)

    def call(self, bound: Bound) -> list[Array]:
        """Make a call; the outputs are copies."""
        if bound.is_open:
            return self._call_open(bound)
        self._reserve(head_bytes(bound))
        shapes = self._infer(bound)
        pairs = list(zip(bound.outputs, shapes, strict=True))
        sizes = [np.dtype(p.dtype).itemsize * math.prod(s) for p, s in pairs]
        starts = self._write(bound, shapes, sizes)
        self._checked("ops_call", bound)
        head = ctypes.string_at(self._base() + self._arena, head_bytes(bound))
        shapes = shapes_after(bound, head, shapes)
        results = []
        for param, shape, start in zip(bound.outputs, shapes, starts, strict=True):
            try:
                results.append(self._copied(self._arena + start, param.dtype, shape))
            except ValueError:  # beside a size of 0 the others may be any
                raise ArgumentError(
                    f"{bound.kernel.name}: {param.name} has shape {shape}, which numpy "
                    "cannot hold; use smaller sizes"
                ) from None
        return results

    def _call_open(self, bound: Bound) -> list[Array]:
        """Make a call whose outputs the module allocates."""
        self._write(bound, [()] * len(bound.outputs), [])
        self._checked("ops_call", bound)
        head = ctypes.string_at(self._base() + self._arena, head_bytes(bound))
        blocks = output_blocks(bound, head, self._memory.data_len(self._store))
        try:
            return [self._copied(b.address, b.dtype, b.shape) for b in blocks]
        finally:
            for block in blocks:
                if self._run("ops_free", block.address):
                    raise ModuleError(
                        f"{bound.kernel.name}: ops_call gave {block.name} data at "
                        f"{block.address}, which is no block"
                    )

    def _write(
        self, bound: Bound, shapes: list[Shape], outputs: list[int]
    ) -> list[int]:
        """Put arguments and inputs into the arena; where its outputs start in it.

        outputs: bytes of each; none where the module allocates them.
        """
        sizes = [x.nbytes if isinstance(x, np.ndarray) else 0 for x in bound.inputs]
        at, starts = _aligned(head_bytes(bound)), []
        for size in (*sizes, *outputs):
            starts.append(at)
            # An empty tensor gets an address of its own, inside the block.
            at += _aligned(max(size, 1))
        self._reserve(at)
        addresses = [self._arena + s for s in starts]
        addresses += [0] * (len(bound.outputs) - len(outputs))
        for i, array in enumerate(bound.inputs):
            if isinstance(array, Resident):
                addresses[i] = array.address
        head = pack_head(bound, shapes, self._arena, addresses)
        base = self._base() + self._arena
        ctypes.memmove(base, head, len(head))
        for array, start in zip(bound.inputs, starts, strict=False):
            if isinstance(array, np.ndarray) and array.nbytes:
                ctypes.memmove(base + start, array.ctypes.data, array.nbytes)
        return starts[len(sizes) :]

    def _copied(self, address: int, dtype: str, shape: Shape) -> Array:
        """A tensor of the module's memory, which a call may have moved."""
        result = np.empty(shape, dtype)
        ctypes.memmove(result.ctypes.data, self._base() + address, result.nbytes)
        return result

    def _infer(self, bound: Bound) -> list[Shape]:
        """ops_infer, or what it said the last time the same was asked."""
        unknown: list[Shape] = [()] * len(bound.outputs)
        addresses = [0] * (len(bound.inputs) + len(bound.outputs))
        head = pack_head(bound, unknown, self._arena, addresses)
        key = (bound.kernel.index, head)
        if (known := self._shapes.get(key)) is not None:
            return known
        ctypes.memmove(self._base() + self._arena, head, len(head))
        self._checked("ops_infer", bound)
        head = ctypes.string_at(self._base() + self._arena, len(head))
        shapes = output_shapes(bound, head)
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
            text = f"{function} trapped: {_reason(error)}; load the module anew"
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
