"""The ABI: numbers, names and structs that toolchain, runtime and hosts share.

C has them in runtime_stub/*.h; `doit tables`, which every build runs first, holds those
headers against this file and writes what the hosts in Python and JavaScript have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

ABI_VERSION = 1
# Axes of a tensor; tensors of a call of an operator, and of a model.
MAX_RANK = 8
MAX_TENSORS = 64
MAX_MODEL_TENSORS = 4096
# Of a call: attribute values, lists included, and attributes.
MAX_VALUES = 64
MAX_ATTRIBUTES = 16
MAX_AXES = 6  # of a tensor in its canonical rank
MAX_SYMBOLS = 32  # sizes that a kernel gets
MAX_SIZES = 64  # canonical sizes of all outputs
MAX_SLOTS = 64  # of a kernel: pointers, sizes, values
MAX_NAME = 1024  # bytes of a kernel's name, with the zero at its end
MAX_INPUTS = 4  # of an elementwise operator
MAX_OUTPUTS = 8  # of an operator along rows
SLOT_BYTES = 8  # an argument of a kernel: a pointer, an int64 or a double
ALIGNMENT = 64  # bytes: of what ops_alloc gives; a cache line
PAGE = 65536  # bytes of linear memory
MAX_MEMORY = 1 << 32  # bytes that wasm32 can address
MANIFEST = "ops_wasm32.manifest"  # custom section of a module
# What a module exports beside its memory: functions, and how many arguments each has.
# All are i32, and each gives one.
FUNCTIONS = {
    "ops_abi_version": 0,
    "ops_alloc": 1,
    "ops_call": 3,
    "ops_count": 0,
    "ops_find": 1,
    "ops_free": 1,
    "ops_infer": 3,
    "ops_last_error": 0,
    "ops_name": 1,
    "ops_signature": 1,
}


class Kind(IntEnum):
    """What an argument is: TVMFFIAny.type_index."""

    NONE = 0
    INT = 1
    BOOL = 2
    FLOAT = 3
    TENSOR = 7


class Error(IntEnum):
    """What a function returns that fails."""

    OPERATOR = 1
    ARGUMENT = 2
    DTYPE = 3
    SHAPE = 4
    POINTER = 5
    ATTRIBUTE = 6
    MEMORY = 7


class Param(IntEnum):
    """Flags of a tensor parameter."""

    OPTIONAL = 1
    VARIADIC = 2


class Attr(IntEnum):
    """What kind an attribute is of; the names are those of operator files."""

    INT = 0
    FLOAT = 1


class AttrFlag(IntEnum):
    """Flags of an attribute."""

    REQUIRED = 1
    RAW = 2


# With what their names start in C.
ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (
    ("OPS_KIND_", Kind),
    ("OPS_ERROR_", Error),
    ("OPS_PARAM_", Param),
    ("OPS_ATTR_", Attr),
    ("OPS_ATTR_", AttrFlag),
)


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

    @property
    def llvm(self) -> str:
        """Its type in LLVM IR."""
        word = self.word.llvm
        return f"[{self.count} x {word}]" if self.count else word


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
        """Bytes of it: those of its fields, up to a multiple of the widest word."""
        *_, last = fields = list(self.fields())
        widest = max(f.word.size for f in fields)
        return -(-(last.offset + last.size) // widest) * widest

    @property
    def llvm(self) -> str:
        """Its type in LLVM IR."""
        return f"{{ {', '.join(f.llvm for f in self.fields())} }}"

    @property
    def packed(self) -> str:
        """Its format for Python's struct, with the gaps between the fields."""
        text, at = "<", 0
        for f in self.fields():
            gap = f.offset - at
            text += (f"{gap}x" if gap else "") + f"{f.count or ''}{f.word.packed}"
            at = f.offset + f.size
        return text + (f"{self.size - at}x" if self.size > at else "")

    def constant(self, **values: object) -> str:
        """A constant of it in LLVM IR, from a value for each field."""
        fields = list(self.fields())
        assert values.keys() == {f.name for f in fields}, values
        return f"{{ {', '.join(f'{f.llvm} {values[f.name]}' for f in fields)} }}"


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
# A checked call, which tensors follow (runtime_stub/call.h), and how many a module has
# room for.
REQUEST_BYTES, CHECKED_TENSOR_BYTES = 576, 64
ROOM = Struct("__typeof__(ops_room_size)", {"arguments": "i32", "text": "u32"})
# An axis of an image, as kernels of pooling hand it to runtime_stub/windows.c.
WINDOW_AXIS = Struct(
    "ops_window_axis",
    dict.fromkeys(("size", "windows", "taps", "stride", "dilation", "begin"), "i32"),
)
STRUCTS = (
    *(ANY, TENSOR, PARAM, ATTRIBUTE, FAMILY, OPERATOR, COLLAPSE, ROOM, WINDOW_AXIS),
)
# The numbers as expressions of C.
NUMBERS = {
    "OPS_ABI_VERSION": ABI_VERSION,
    "OPS_MAX_RANK": MAX_RANK,
    "OPS_MAX_TENSORS": MAX_TENSORS,
    "OPS_MAX_MODEL_TENSORS": MAX_MODEL_TENSORS,
    "OPS_MAX_VALUES": MAX_VALUES,
    "OPS_MAX_ATTRIBUTES": MAX_ATTRIBUTES,
    "OPS_MAX_AXES": MAX_AXES,
    "OPS_MAX_SYMBOLS": MAX_SYMBOLS,
    "OPS_MAX_SIZES": MAX_SIZES,
    "OPS_MAX_SLOTS": MAX_SLOTS,
    "OPS_MAX_NAME": MAX_NAME,
    "OPS_MAX_INPUTS": MAX_INPUTS,
    "OPS_MAX_OUTPUTS": MAX_OUTPUTS,
    "OPS_ALIGNMENT": ALIGNMENT,
    "OPS_PAGE": PAGE,
    "sizeof(ops_slot)": SLOT_BYTES,
    "sizeof(ops_request)": REQUEST_BYTES,
    "sizeof(ops_tensor)": CHECKED_TENSOR_BYTES,
}
