"""Calls of a built library in wasmtime and in Node, timed by a loop inside wasm."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import wasmtime
from ops_wasm32.binding import Resident
from ops_wasm32.convert import Array
from ops_wasm32.packing import (
    ARGUMENT_BYTES,
    pack_attribute,
    pack_pointer,
    pack_tensor,
)
from ops_wasm32.tables import DTYPES

from bench import loops
from bench.records import Json
from bench.row import Ours

LOOPED = ("ops_call", "ops_infer")  # exports that a loop calls
SCRIPTS = Path(__file__).with_name("node")


@dataclass(frozen=True)
class Call:
    """A call of one kernel. outputs: (dtype, shape); attributes as flattened."""

    kernel: str
    inputs: tuple[Array | None, ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    attributes: tuple[int | float | None, ...] = ()


def make_call(library: ops_wasm32.Library, ours: Ours) -> Call:
    """Bind a row's call to a library's kernels; packs what the row packs ahead.

    Errors: ArgumentError, where the library has no such operator.
    """
    inputs = list(ours.inputs)
    if ours.pack:
        index, named = ours.pack.index, dict(ours.pack.attributes)
        inputs[index] = library.call(ours.pack.operator, inputs[index], **named)
    named = dict(ours.attributes)
    shapes = library.infer(ours.operator, *inputs, **named)
    bound = library.bind(ours.operator, inputs, named)
    return Call(
        bound.kernel.name,
        # Operators have no resident tensors: those are weights of models.
        tuple(x for x in bound.inputs if not isinstance(x, Resident)),
        tuple((dtype, shape) for shape, dtype in shapes),
        bound.attributes,
    )


class Wasmtime:
    """A library in wasmtime."""

    name = "wasmtime"

    def __init__(self, library: Path) -> None:
        self.engine = wasmtime.Engine()
        self.store = wasmtime.Store(self.engine)
        module = wasmtime.Module.from_file(self.engine, str(library))
        self.exports: Any = wasmtime.Instance(self.store, module, []).exports(
            self.store
        )
        calls = wasmtime.Module(self.engine, loops.CALLS)
        self._loops = {n: self._loop(calls, n) for n in LOOPED if n in self.exports}
        self._blocks: list[int] = []
        self._inputs: list[int] = []
        self._op = self._args = self._count = 0

    def _loop(self, calls: wasmtime.Module, export: str) -> wasmtime.Func:
        """A function that calls an export n times."""
        made = wasmtime.Instance(self.store, calls, [self.exports[export]])
        return function(made.exports(self.store), "run")

    def _store(self, data: bytes) -> int:
        size = max(len(data), 1)
        pointer: int = self.exports["ops_alloc"](self.store, size) & 0xFFFFFFFF
        if not pointer:
            raise MemoryError(f"no room for {len(data)} bytes")
        self._blocks.append(pointer)
        self.exports["memory"].write(self.store, data, pointer)
        return pointer

    def prepare(self, call: Call) -> None:
        """Put a call's arguments into memory, in place of the last call's."""
        for block in self._blocks:
            self.exports["ops_free"](self.store, block)
        self._blocks, self._inputs = [], []
        name = self._store(call.kernel.encode() + b"\0")
        self._op = self.exports["ops_find"](self.store, name)
        if self._op < 0:
            raise LookupError(f"{call.kernel}: the library has no such kernel")
        packed, self._outputs = b"", []
        for array in call.inputs:
            if array is None:
                packed += pack_pointer(None)
                continue
            pointer = self._store(np.ascontiguousarray(array).tobytes())
            self._inputs.append(pointer)
            packed += self._tensor(pointer, array.dtype, array.shape)
        for dtype, shape in call.outputs:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            pointer = self._store(bytes(size))
            self._outputs.append((pointer, size, dtype, shape))
            packed += self._tensor(pointer, np.dtype(dtype), shape)
        packed += b"".join(map(pack_attribute, call.attributes))
        self._args, self._count = self._store(packed), len(packed) // ARGUMENT_BYTES
        self.run(1)

    def _tensor(self, data: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
        sizes = self._store(struct.pack(f"<{len(shape)}q", *shape))
        head = pack_tensor(data, len(shape), dtype.name, sizes)
        return pack_pointer(self._store(head))

    def write(self, index: int, array: Array) -> None:
        """Give an input, by its number among the inputs there are, other elements."""
        self.exports["memory"].write(self.store, array.tobytes(), self._inputs[index])

    def run(self, n: int, export: str = "ops_call") -> float:
        """Seconds of n calls, or n times another export of the same arguments."""
        loop = self._loops[export]
        start = time.perf_counter()
        bad = loop(self.store, self._op, self._args, self._count, n)
        seconds = time.perf_counter() - start
        if bad:
            at = self.exports["ops_last_error"](self.store) & 0xFFFFFFFF
            text = bytes(self.exports["memory"].read(self.store, at, at + 512))
            raise RuntimeError(text.split(b"\0")[0].decode())
        return seconds

    def results(self) -> list[Array]:
        """The outputs of the last run."""
        memory = self.exports["memory"]
        return [
            np.frombuffer(memory.read(self.store, at, at + size), dtype).reshape(shape)
            for at, size, dtype, shape in self._outputs
        ]


def function(exports: Mapping[str, object], name: str) -> wasmtime.Func:
    """A function that a module exports."""
    found = exports[name]
    assert isinstance(found, wasmtime.Func)
    return found


class WasmtimeLoop:
    """A ceiling's loop in wasmtime."""

    def __init__(self, text: str) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, text)
        exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self._run = function(exports, "run")

    def run(self, *arguments: int) -> float:
        """Seconds of one call; its last argument says how often it loops."""
        start = time.perf_counter()
        self._run(self.store, *arguments)
        return time.perf_counter() - start


class NodeProcess:
    """A Node process that answers one JSON line with another.

    node: the command. script: a file of bench/node/, with its arguments.
    """

    def __init__(self, node: Sequence[str], script: str, *arguments: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ops-bench-")
        self.process = subprocess.Popen(
            [*node, str(SCRIPTS / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Send a request; its answer. Errors: RuntimeError with Node's text."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"node ended at {request.get('do')!r}; see its text above"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def file(self, name: str, data: bytes) -> str:
        """Write bytes where Node can read them; the path."""
        path = Path(self.folder.name) / name
        path.write_bytes(data)
        return str(path)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


class Node:
    """A library in Node."""

    name = "node"

    def __init__(self, process: NodeProcess, library: Path) -> None:
        self.process = process
        self.key = str(library)
        loop = process.file("calls.wasm", bytes(wasmtime.wat2wasm(loops.CALLS)))
        process.ask(do="load", key=self.key, library=str(library), loop=loop)

    def prepare(self, call: Call) -> None:
        """Put a call's arguments into memory, in place of the last call's."""
        tensors: list[Json | None] = []
        for i, array in enumerate(call.inputs):
            if array is None:
                tensors.append(None)
                continue
            data = np.ascontiguousarray(array).tobytes()
            tensors.append(
                _description(array.dtype, array.shape)
                | {"file": self.process.file(f"{i}.bin", data)}
            )
        tensors += [_description(np.dtype(d), s) for d, s in call.outputs]
        self.outputs = call.outputs
        self.process.ask(
            do="prepare",
            key=self.key,
            kernel=call.kernel,
            tensors=tensors,
            inputs=len(call.inputs),
            attributes=[
                None if v is None else [float(v), isinstance(v, float)]
                for v in call.attributes
            ],
        )

    def run(self, n: int, export: str = "ops_call") -> float:
        """Seconds of n calls, or n times another export of the same arguments."""
        return float(self.process.ask(do="run", key=self.key, n=n, name=export))

    def results(self) -> list[Array]:
        """The outputs of the last run."""
        paths = self.process.ask(
            do="results", key=self.key, folder=self.process.folder.name
        )
        return [
            np.fromfile(path, dtype).reshape(shape)
            for path, (dtype, shape) in zip(paths, self.outputs, strict=True)
        ]


class NodeLoop:
    """A ceiling's loop in Node."""

    def __init__(self, process: NodeProcess, name: str, text: str) -> None:
        self.process, self.key = process, name
        path = process.file("loop.wasm", bytes(wasmtime.wat2wasm(text)))
        process.ask(do="loop", key=name, path=path)

    def run(self, *arguments: int) -> float:
        """Seconds of one call; its last argument says how often it loops."""
        return float(
            self.process.ask(do="run_loop", key=self.key, arguments=list(arguments))
        )


def _description(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Json:
    size = int(np.prod(shape)) * dtype.itemsize
    code, bits = DTYPES[dtype.name]
    return {
        "code": code,
        "bits": bits,
        "shape": list(shape),
        "size": size,
    }
