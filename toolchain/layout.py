"""Layout: the structs that the toolchain, the C runtime and hosts share, byte by byte.

C declares them in runtime_stub/*.h, which `doit tables` holds against these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolchain.abi import MAX_AXES


@dataclass(frozen=True)
class Word:
    """A type of a field. packed: its letter in Python's struct; c: None for any."""

    size: int
    llvm: str
    packed: str
    c: str | None


WORDS = {
    "ptr": Word(4, "ptr", "I", None),
    "u8": Word(1, "i8", "B", "uint8_t"),
    "u16": Word(2, "i16", "H", "uint16_t"),
    "i32": Word(4, "i32", "i", "int32_t"),
    "u32": Word(4, "i32", "I", "uint32_t"),
    "i64": Word(8, "i64", "q", "int64_t"),
    "u64": Word(8, "i64", "Q", "uint64_t"),
    "f64": Word(8, "double", "d", "double"),
}
_TYPE = re.compile(r"(\w+)(?:\[(\d+)\])?")


@dataclass(frozen=True)
class Field:
    """A field where it lies. count: of an array; 0 where it is none. Units: bytes."""

    name: str
    word: Word
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.word.size * max(self.count, 1)


@dataclass(frozen=True)
class Struct:
    """A struct of C as wasm32 lays it out.

    name: a C type. types: of each field by its path in C: a name of WORDS, with [n]
    for an array.
    """

    name: str
    types: Mapping[str, str]

    def fields(self) -> Iterator[Field]:
        """The fields in order."""
        at = 0
        for name, text in self.types.items():
            match = _TYPE.fullmatch(text)
            assert match, text
            word = WORDS[match[1]]
            at = -(-at // word.size) * word.size
            yield Field(name, word, int(match[2] or 0), at)
            at += word.size * int(match[2] or 1)

    @property
    def size(self) -> int:
        """Bytes of it: the fields' bytes, up to a multiple of the widest word."""
        *_, last = fields = list(self.fields())
        widest = max(f.word.size for f in fields)
        return -(-(last.offset + last.size) // widest) * widest

    @property
    def packed(self) -> str:
        """Its format for Python's struct, with the gaps between the fields."""
        text, at = "<", 0
        for f in self.fields():
            gap = f.offset - at
            text += (f"{gap}x" if gap else "") + f"{f.count or ''}{f.word.packed}"
            at = f.offset + f.size
        return text + (f"{self.size - at}x" if self.size > at else "")


ANY = Struct(
    "TVMFFIAny", {"type_index": "i32", "zero_padding": "u32", "v_int64": "i64"}
)
TENSOR = Struct(
    "DLTensor",
    {
        "data": "ptr",
        "device.device_type": "i32",
        "device.device_id": "i32",
        "ndim": "i32",
        "dtype.code": "u8",
        "dtype.bits": "u8",
        "dtype.lanes": "u16",
        "shape": "ptr",
        "strides": "ptr",
        "byte_offset": "u64",
    },
)
# The constant data of an operator: runtime_stub/operator.h.
PARAM = Struct(
    "ops_param",
    {
        "name": "ptr",
        "flags": "u8",
        "rank": "u8",
        "dims": f"u8[{MAX_AXES}]",
        "fill": "f64",
    },
)
ATTRIBUTE = Struct(
    "ops_attribute",
    {
        **{"name": "ptr", "choices": "ptr"},
        **{"preset": "f64", "minimum": "f64", "maximum": "f64"},
        **{"kind": "u8", "flags": "u8", "per_unit": "u8", "slots": "u8"},
    },
)
FAMILY = Struct(
    "ops_family",
    {
        **{"name": "ptr", "collapse": "ptr", "params": "ptr", "attributes": "ptr"},
        **{"requirements": "ptr", "infer": "ptr"},
        **{"inputs": "u16", "outputs": "u16", "fixed": "u16"},
        **{"each": "u8", "units": "u8", "attribute_count": "u8", "symbols": "u8"},
        "rule": "u8",
    },
)
OPERATOR = Struct(
    "ops_operator",
    {
        **{"name": "ptr", "family": "ptr", "dtypes": "ptr"},
        **{"kernel": "ptr", "columns": "ptr"},
    },
)
COLLAPSE = Struct("ops_collapse", {"shape": "ptr", "run": "ptr", "in_place": "i32"})
# How many tensors of a call a module has room for, and the bytes of a signature.
ROOM = Struct("__typeof__(ops_room_size)", {"arguments": "i32", "text": "u32"})
# An axis of an image, as kernels of pooling hand it to runtime_stub/windows.c.
WINDOW_AXIS = Struct(
    "ops_window_axis",
    dict.fromkeys(("size", "windows", "taps", "stride", "dilation", "begin"), "i32"),
)
# The constant data of a call whose shapes are known: runtime_stub/node.h.
NODE_TENSOR = Struct("ops_node_tensor", {"shape": "ptr", "rank": "u8", "dtype": "u8"})
NODE = Struct(
    "ops_node",
    {
        **{"op": "ptr", "tensors": "ptr", "attributes": "ptr"},
        **{"inputs": "u16", "outputs": "u16", "units": "u16"},
    },
)
# The constant data of a model of any shape: runtime_stub/graph.h.
GRAPH_ATTRIBUTE = Struct(
    "ops_graph_attribute", {"numbers": "ptr", "count": "u16", "value": "u16"}
)
STEP = Struct(
    "ops_step",
    {
        **{"op": "ptr", "values": "ptr", "attributes": "ptr", "regions": "ptr"},
        **{"inputs": "u16", "outputs": "u16", "last": "u16"},
        **{"units": "u16", "kind": "u8", "flags": "u8", "attribute_count": "u8"},
    },
)
GRAPH_CONSTANT = Struct(
    "ops_graph_constant",
    {"data": "ptr", "offset": "u32", "shape": "ptr", "rank": "u8", "dtype": "u8"},
)
GRAPH_OUTPUT = Struct("ops_graph_output", {"value": "u16", "memory": "u16"})
GRAPH = Struct(
    "ops_graph",
    {
        **{"steps": "ptr", "segments": "ptr", "constants": "ptr", "outputs": "ptr"},
        **dict.fromkeys(
            (
                *("segment_count", "constant_count", "input_count", "output_count"),
                *("value_count", "early_count", "first"),
            ),
            "u16",
        ),
        "reads_elements": "u8",
    },
)
GRAPH_SIZE = Struct(
    "ops_graph_size", {"name": "ptr", "minimum": "i32", "maximum": "i32"}
)
GRAPH_HALF = Struct(
    "ops_graph_half", {"to": "ptr", "offset": "u32", "count": "u32", "brain": "i32"}
)
MODEL = Struct(
    "ops_model",
    {
        **{"graph": "ptr", "dims": "ptr", "sizes": "ptr", "weights": "ptr"},
        **{"frame": "ptr", "halves": "ptr", "widen": "ptr"},
        **{"half_count": "u16", "size_count": "u16"},
    },
)
FRAME = Struct(
    "ops_frame",
    {
        **{"graph": "ptr", "values": "ptr", "places": "ptr", "early": "ptr"},
        **{"results": "ptr", "weights": "ptr", "widened": "ptr", "arena": "ptr"},
        **{"arena_bytes": "u32", "early_used": "u32", "step": "u32", "planned": "i32"},
    },
)
STRUCTS = (
    *(ANY, TENSOR, PARAM, ATTRIBUTE, FAMILY, OPERATOR, COLLAPSE, ROOM, WINDOW_AXIS),
    *(
        NODE_TENSOR,
        NODE,
        GRAPH_ATTRIBUTE,
        STEP,
        GRAPH_CONSTANT,
        GRAPH_OUTPUT,
        GRAPH,
        GRAPH_SIZE,
    ),
    *(GRAPH_HALF, MODEL, FRAME),
)
