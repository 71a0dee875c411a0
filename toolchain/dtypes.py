"""The dtypes of tensors: one line each.

The lists in C, in JavaScript and in the host package are written from this table by
`doit tables`, which every build runs first.
"""

from __future__ import annotations

from dataclasses import dataclass

# Codes of DLPack's DLDataType.
INT, UINT, FLOAT, BOOL = 0, 1, 2, 6


@dataclass(frozen=True)
class Dtype:
    """A dtype, by numpy's name.

    code: DLPack's. c: type of an element. array: JavaScript's typed array.
    safetensors: its name in a file of weights. onnx: number of its
    TensorProto.DataType, which MindIR shares. short: as the command line has it too.
    library: whether the library's operators take it; models take all.
    """

    name: str
    code: int
    bits: int
    c: str
    array: str
    safetensors: str
    onnx: int
    short: str
    library: bool = True

    @property
    def element(self) -> str:
        """As names of micro-kernels have it: f32, i8, u8."""
        letter = {FLOAT: "f", INT: "i"}.get(self.code, "u")
        return f"{letter}{self.bits}"

    @property
    def storage(self) -> str:
        """The dtype that kernels see: a bool is one byte, 0 or 1; a half its bits."""
        if self.code == BOOL:
            return "uint8"
        return "uint16" if self.name == "float16" else self.name


# Engines had WebAssembly long before they had Float16Array: elsewhere its bits.
_HALF = "globalThis.Float16Array ?? Uint16Array"
# A descriptor names a dtype by its place here; messages list them in this order.
DTYPES = {
    dtype.name: dtype
    for dtype in (
        Dtype("float32", FLOAT, 32, "float", "Float32Array", "F32", 1, "FP32"),
        Dtype("int32", INT, 32, "int32_t", "Int32Array", "I32", 6, "INT32"),
        Dtype("int8", INT, 8, "int8_t", "Int8Array", "I8", 3, "INT8"),
        Dtype("uint8", UINT, 8, "uint8_t", "Uint8Array", "U8", 2, "UINT8"),
        Dtype("int64", INT, 64, "int64_t", "BigInt64Array", "I64", 7, "INT64"),
        Dtype("bool", BOOL, 8, "uint8_t", "Uint8Array", "BOOL", 9, "BOOL"),
        Dtype("float16", FLOAT, 16, "uint16_t", _HALF, "F16", 10, "FP16", False),
        Dtype("float64", FLOAT, 64, "double", "Float64Array", "F64", 11, "FP64", False),
    )
}
# Those of the library's operators.
NAMES = tuple(name for name, dtype in DTYPES.items() if dtype.library)
_PLACES = {name: i for i, name in enumerate(DTYPES)}


def number(name: str) -> int:
    """The number by which descriptors know a dtype."""
    return _PLACES[name]


# The integer that stands for all dtypes of so many bits where elements only move.
_MOVED = {d.bits: d.name for d in DTYPES.values() if d.code in (INT, UINT)}
SAME_WIDTH = {
    d.name: _MOVED[d.bits]
    for d in DTYPES.values()
    if _MOVED.get(d.bits, d.name) != d.name
}
STORAGE = {d.name: d.storage for d in DTYPES.values() if d.storage != d.name}
