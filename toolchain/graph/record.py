"""Record: which kernels the runtime calls for a node whose sizes are all known.

The runtime itself is asked, when a model is built: its collapses, as they are in every
module, with the descriptions of the model's operators but none of their kernels. These
are imports, which note their arguments. So are the runtime's copies of views, and its
workspaces. Nothing else that a collapse does is seen, so that only COLLAPSES are asked,
none of which writes elements by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

from toolchain import layout
from toolchain.abi import MAX_MEMORY, Kind
from toolchain.codegen.descriptor import descriptor, table
from toolchain.codegen.llvm import emit
from toolchain.codegen.room import operator_room, room
from toolchain.dtypes import DTYPES
from toolchain.graph.graph import Node, Value
from toolchain.graph.operators import operator
from toolchain.graph.steps import given, inputs_of, numbers_of, units_of
from toolchain.link.archive import archive
from toolchain.link.link import link
from toolchain.lower.infer import infer_function, output_dims, requirement_texts
from toolchain.records.replace import write
from toolchain.spec import Operator, SpecError, kernel_name
from toolchain.targets import TARGETS

# Which do all their work by kernels, workspaces and copies of views.
COLLAPSES = ("rows", "exact", "matmul", "channels", "view", "gather", "pad")
# What is looked at while a collapse runs, beside kernels.
_WATCHED = ("ops_copy_view", "ops_workspace", "ops_release")
# The input whose elements a collapse checks: zeros are good indices.
INDICES = {"gather": 1}
_TARGET = TARGETS["mvp"]  # no collapse and no size depends on it
_MOST = 1 << 16  # calls of a node
# Its kind and number among those, as Place has them.
_Tensor: TypeAlias = tuple[str, int, Value | None]
_SLOT = struct.Struct("<q")


@dataclass(frozen=True)
class Place:
    """A pointer: of what it is, and how many bytes it is in.

    kind: "input" or "output" of the node, "workspace", or "fill", which stands in for
    an absent input.
    """

    kind: str
    index: int
    offset: int


@dataclass(frozen=True)
class Called:
    """A call of an operator's kernel: pointers to tensors, then sizes and attributes.

    columns: of its second form. numbers: by name, as Kernel(constants=...) takes them.
    """

    places: tuple[Place, ...]
    numbers: tuple[tuple[str, float], ...]
    columns: bool = False


@dataclass(frozen=True)
class Copied:
    """A copy of a view to compact memory: source, then result; strides in elements."""

    places: tuple[Place, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int


@dataclass(frozen=True)
class Recording:
    """All that a node does, in order. workspaces: bytes of each."""

    calls: tuple[Called | Copied, ...]
    workspaces: tuple[int, ...]


class Recorder:
    """A module that says what nodes do.

    nodes: all that are asked for. folder: for its files. runtime: objects of the C
    runtime.
    """

    def __init__(
        self, nodes: Iterable[Node], runtime: Sequence[Path], folder: Path
    ) -> None:
        names = dict.fromkeys(n.op for n in nodes)
        kernels = dict.fromkeys(kernel_name(n.op, n.dtypes) for n in nodes)
        self.kernels = sorted(kernels)
        objects = [_described(name, folder) for name in names]
        own = folder / "recorder.o"
        rooms = [operator_room(operator(n), kernels) for n in names]
        own.write_bytes(emit([table(self.kernels), room(rooms)], _TARGET))
        library, module = folder / "librecorder.a", folder / "recorder.wasm"
        archive([own, *objects, *runtime], library)
        more = ["--allow-undefined", *(f"--wrap={name}" for name in _WATCHED)]
        link(library, module, MAX_MEMORY, more=more)
        self._instantiate(module)
        self.node: Node
        self.calls: list[Called | Copied] = []
        self.workspaces: list[int] = []
        self.blocks: list[tuple[int, int, str, int]] = []

    def _instantiate(self, path: Path) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.parallel_compilation = False  # its threads do not survive a fork
        self.store = wasmtime.Store(wasmtime.Engine(config))
        module = wasmtime.Module.from_file(self.store.engine, str(path))
        linker = wasmtime.Linker(self.store.engine)
        for needed in module.imports:
            watched = self._watched(str(needed.name))
            assert isinstance(needed.type, wasmtime.FuncType)
            linker.define_func("env", str(needed.name), needed.type, watched)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    def _watched(self, name: str) -> Callable[..., int | None]:
        """What an import does."""
        known: dict[str, Callable[..., int | None]] = {
            "__wrap_ops_copy_view": self._copy,
            "__wrap_ops_workspace": self._workspace,
            "__wrap_ops_release": self._release,
        }
        if name in known:
            return known[name]
        columns = name.startswith("columns_")
        return lambda slots: self._kernel(slots, columns)

    # -- memory of the module --

    def _call(self, name: str, *arguments: int) -> int:
        function = self.exports[name]
        assert callable(function)
        result = function(self.store, *arguments)
        return int(result) & 0xFFFFFFFF

    def _alloc(self, size: int) -> int:
        at = self._call("ops_alloc", max(size, 1))
        if not at:
            raise SpecError(f"{self.node.op}: {size} bytes are more than there are")
        return at

    def _read(self, at: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, at, at + size))

    def _numbers(self, at: int, count: int, letter: str) -> tuple[int, ...]:
        packed = struct.Struct(f"<{count}{letter}")
        return packed.unpack(self._read(at, packed.size))

    # -- what a collapse calls --

    def _kernel(self, slots: int, columns: bool) -> int:
        if len(self.calls) >= _MOST:
            raise SpecError(f"{self.node.op}: takes too many calls of its kernel")
        found = operator(self.node.op)
        tensors = len(found.tensors())
        kinds = _kinds(found, columns)
        words = self._read(slots, 8 * (tensors + len(kinds)))
        places = [
            self._place(_SLOT.unpack_from(words, 8 * i)[0] & 0xFFFFFFFF, i)
            for i in range(tensors)
        ]
        numbers = [
            (name, struct.unpack_from(letter, words, 8 * (tensors + i))[0])
            for i, (name, letter) in enumerate(kinds.items())
        ]
        self.calls.append(Called(tuple(places), tuple(numbers), columns))
        return 0

    def _copy(
        self, to: int, source: int, rank: int, shape: int, strides: int, itemsize: int
    ) -> None:
        places = self._place(source), self._place(to)
        sizes = self._numbers(shape, rank, "i"), self._numbers(strides, rank, "q")
        self.calls.append(Copied(places, *sizes, itemsize))

    def _workspace(self, call: int, size: int) -> int:
        del call
        at = self._alloc(size)
        self.blocks.append((at, max(size, 1), "workspace", len(self.workspaces)))
        self.workspaces.append(size)
        return at

    def _release(self, at: int) -> None:
        at &= 0xFFFFFFFF
        self.blocks = [b for b in self.blocks if b[0] != at]
        self._call("ops_free", at)

    def _place(self, address: int, slot: int = -1) -> Place:
        """What lies at an address. slot: of the kernel that gets it."""
        address &= 0xFFFFFFFF
        for start, size, kind, index in self.blocks:
            if start <= address < start + size:
                inputs = inputs_of(self.node)
                absent = 0 <= slot < len(inputs) and inputs[slot] is None
                if absent and kind == "workspace":
                    return Place("fill", slot, address - start)
                return Place(kind, index, address - start)
        raise SpecError(f"{self.node.op}: reads or writes what is no tensor")

    # -- a call --

    def record(self, node: Node) -> Recording:
        """What a node does.

        Errors: SpecError where the runtime refuses the call, with its words.
        """
        self.node, self.calls, self.workspaces, self.blocks = node, [], [], []
        owned: list[int] = []
        arguments = b"".join(self._argument(v, owned) for v in self._tensors())
        arguments += arguments_of(node)
        at = self._stored(arguments, owned)
        index = self.kernels.index(kernel_name(node.op, node.dtypes))
        count = len(arguments) // layout.ANY.size
        code = self._call("ops_call", index, at, count)
        for block in owned:
            self._call("ops_free", block)
        if code:
            text = self._read(self._call("ops_last_error"), 512)
            raise SpecError(text.split(b"\0")[0].decode())
        return Recording(tuple(self.calls), tuple(self.workspaces))

    def _tensors(self) -> list[_Tensor]:
        groups = ("input", inputs_of(self.node)), ("output", self.node.outputs)
        return [(kind, i, v) for kind, group in groups for i, v in enumerate(group)]

    def _stored(self, data: bytes, owned: list[int]) -> int:
        at = self._alloc(len(data))
        owned.append(at)
        self.memory.write(self.store, data, at)
        return at

    def _argument(self, tensor: _Tensor, owned: list[int]) -> bytes:
        """A tensor whose elements nobody looks at, as an argument."""
        kind, index, value = tensor
        if value is None:
            return struct.pack(layout.ANY.packed, Kind.NONE, 0, 0)
        shape, dtype = value.known, DTYPES[value.dtype]
        assert shape is not None
        size = prod(shape) * dtype.bits // 8
        data = self._alloc(size)
        owned.append(data)
        self.blocks.append((data, max(size, 1), kind, index))
        if kind == "input" and index == INDICES.get(self.node.op):
            self.memory.write(self.store, bytes(size), data)
        sizes = self._stored(struct.pack(f"<{len(shape)}q", *shape), owned)
        fields = (data, 1, 0, len(shape), dtype.code, dtype.bits, 1, sizes, 0, 0)
        at = self._stored(struct.pack(layout.TENSOR.packed, *fields), owned)
        return struct.pack(layout.ANY.packed, Kind.TENSOR, 0, at)


def _kinds(found: Operator, columns: bool) -> dict[str, str]:
    """Names of a kernel's numbers in order, each with how struct reads it."""
    names = [*found.symbols(), *(["k"] if columns else [])]
    kinds = dict.fromkeys(names, "<q")
    for attribute in found.attributes:
        letter = "<d" if attribute.kind == "float" else "<q"
        kinds |= dict.fromkeys(attribute.names(), letter)
    return kinds


def arguments_of(node: Node) -> bytes:
    """The attributes of a node as a caller passes them."""
    return b"".join(_arguments_of(node))


def _arguments_of(node: Node) -> Iterable[bytes]:
    units = units_of(node, own=False)
    for attribute in operator(node.op).attributes:
        numbers = numbers_of(node, attribute.name, given(node, attribute.name))
        count = attribute.per_unit * units if attribute.per_unit else 1
        if not numbers:
            yield from [struct.pack(layout.ANY.packed, Kind.NONE, 0, 0)] * count
        for number in numbers:
            if isinstance(number, float):
                yield struct.pack("<iId", Kind.FLOAT, 0, number)
            else:
                yield struct.pack(layout.ANY.packed, Kind.INT, 0, number)


def _described(name: str, folder: Path) -> Path:
    """An object with an operator's description, whose kernels are undefined."""
    found = operator(name)
    variants = found.variants()
    texts = [
        descriptor(
            *(name, found, variants),
            requirement_texts(found, variants[0], _TARGET),
            output_dims(found, variants[0], _TARGET),
            has_infer=found.asked,
        )
    ]
    texts += filter(None, [infer_function(name, found, variants[0], _TARGET)])
    out = folder / f"described_{name}.o"
    write(out, emit(texts, _TARGET))
    return out
