"""The C ABI as it is: writes any argument, right or wrong, into a module's memory."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import wasmtime

from toolchain import dtypes
from toolchain.profile import ROOT
from toolchain.targets import DEFAULT

# The build that is tested, and the target of what is built on it; tests/mutants.py
# puts others there.
BUILD = Path(os.environ.get("OPS_WASM32_BUILD", ROOT / "build"))
TARGET = os.environ.get("OPS_WASM32_TARGET", DEFAULT)
# Written out, beside toolchain/abi.py: what every caller of today has compiled in.
NONE, INT, BOOL, FLOAT, TENSOR = 0, 1, 2, 3, 7
ANY_BYTES, TENSOR_BYTES = 16, 40
DTYPES = {name: (d.code, d.bits) for name, d in dtypes.DTYPES.items()}
DTYPES["float64"] = (2, 64)  # which no operator takes


@dataclass
class Arg:
    """One TVMFFIAny: its kind and the eight bytes of its value."""

    kind: int
    value: bytes


def integer(value: int) -> Arg:
    return Arg(INT, struct.pack("<q", value))


def number(value: float) -> Arg:
    return Arg(FLOAT, struct.pack("<d", value))


def none() -> Arg:
    return Arg(NONE, bytes(8))


def library_path(target: str) -> Path:
    """The library of that target in the build that is tested."""
    return BUILD / target / "ops_wasm32.wasm"


def runtime_objects(target: str, build: Path = BUILD) -> list[Path]:
    """The runtime's objects in a build: by default in the build that is tested."""
    folder = build / target / "runtime"
    return [folder / f"{s.stem}.o" for s in sorted((ROOT / "runtime_stub").glob("*.c"))]


@cache
def _engine(metered: bool) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = metered
    return wasmtime.Engine(config)


@cache
def _compiled(path: Path, _changed: int, metered: bool) -> wasmtime.Module:
    return wasmtime.Module.from_file(_engine(metered), str(path))


class Module:
    """An instance of a module and its exports.

    fuel: how many instructions each call may take; None: any number.
    """

    def __init__(self, path: Path, fuel: int | None = None) -> None:
        metered = fuel is not None
        module = _compiled(path, path.stat().st_mtime_ns, metered)
        self.store = wasmtime.Store(_engine(metered))
        self._fuel = fuel
        if fuel is not None:
            self.store.set_fuel(fuel)
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory
        self.blocks = 0
        self.live: dict[int, int] = {}  # sizes of blocks, by address

    def run(self, name: str, *args: int) -> int:
        """Call an export; pointers come back unsigned."""
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        if self._fuel is not None:
            self.store.set_fuel(self._fuel)
        result: int = function(self.store, *args)
        return result

    def alloc(self, size: int) -> int:
        pointer = self.run("ops_alloc", size) & 0xFFFFFFFF
        assert pointer
        self.live[pointer] = size
        self.blocks += 1
        return pointer

    def free_all(self, keep: int) -> None:
        """Free all blocks but the first `keep`."""
        while self.blocks > keep:
            assert self.run("ops_free", self.live.popitem()[0]) == 0
            self.blocks -= 1

    def write(self, pointer: int, data: bytes) -> int:
        self.memory.write(self.store, data, pointer)
        return pointer

    def store_bytes(self, data: bytes) -> int:
        """A new block that holds these bytes."""
        return self.write(self.alloc(max(1, len(data))), data)

    def read(self, pointer: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, pointer, pointer + size))

    def text(self, pointer: int) -> str:
        pointer &= 0xFFFFFFFF
        data, size = b"", 1024
        while b"\0" not in data:
            room = self.memory.data_len(self.store) - pointer
            assert len(data) < room
            data = self.read(pointer, min(size, room))
            size *= 4
        return data.partition(b"\0")[0].decode()

    def error(self) -> str:
        return self.text(self.run("ops_last_error"))

    def find(self, name: str) -> int:
        return self.run("ops_find", self.store_bytes(name.encode() + b"\0"))

    def call(self, name: str, *args: Arg, count: int | None = None) -> int:
        """ops_call with these arguments (count: another number than there are)."""
        n = len(args) if count is None else count
        return self.run("ops_call", self.find(name), self.pack(args), n)

    def infer(self, name: str, *args: Arg) -> int:
        return self.run("ops_infer", self.find(name), self.pack(args), len(args))

    def pack(self, args: tuple[Arg, ...]) -> int:
        packed = b"".join(struct.pack("<ii", a.kind, 0) + a.value for a in args)
        return self.store_bytes(packed)

    def tensor(
        self,
        shape: list[int],
        dtype: str = "float32",
        *,
        data: int | None = None,
        size: int | None = None,
        strides: list[int] | None = None,
        **fields: int,
    ) -> Arg:
        """A DLTensor; `fields` replaces any of its fields.

        data: its pointer; by default a block of `size` bytes (default: as needed).
        """
        code, bits = DTYPES[dtype]
        count = 1
        for extent in shape:
            count *= extent
        if data is None:
            data = self.alloc(max(1, count * bits // 8) if size is None else size)
        values = {
            "data": data,
            "device_type": 1,
            "device_id": 0,
            "ndim": len(shape),
            "code": code,
            "bits": bits,
            "lanes": 1,
            "shape_at": self.store_bytes(struct.pack(f"<{len(shape)}q", *shape)),
            "strides_at": 0
            if strides is None
            else self.store_bytes(struct.pack(f"<{len(strides)}q", *strides)),
            "byte_offset": 0,
        } | fields
        packed = struct.pack("<IiiiBBHIIxxxxQ", *values.values())
        assert len(packed) == TENSOR_BYTES
        return Arg(TENSOR, struct.pack("<II", self.store_bytes(packed), 0))

    def pointer(self, value: int) -> Arg:
        """A tensor argument that points anywhere."""
        return Arg(TENSOR, struct.pack("<II", value, 0))

    def floats(self, tensor: Arg, count: int) -> list[float]:
        """The first elements of a float32 tensor."""
        return list(
            struct.unpack(f"<{count}f", self.read(self.data(tensor), 4 * count))
        )

    def data(self, tensor: Arg) -> int:
        """The data pointer of a tensor argument."""
        at = struct.unpack("<I", tensor.value[:4])[0]
        pointer: int = struct.unpack("<I", self.read(at, 4))[0]
        return pointer

    def shape(self, tensor: Arg) -> list[int]:
        """The sizes of a tensor argument."""
        at = struct.unpack("<I", tensor.value[:4])[0]
        head = self.read(at, TENSOR_BYTES)
        rank: int = struct.unpack_from("<i", head, 12)[0]
        pointer: int = struct.unpack_from("<I", head, 20)[0]
        return list(struct.unpack(f"<{rank}q", self.read(pointer, 8 * rank)))
