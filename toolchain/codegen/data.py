"""Data: constants of a module, as the C runtime reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from llvmlite import ir

from toolchain.abi import CALLS
from toolchain.layout import Field, Struct
from toolchain.micro.builder import F64, I8, I16, I32, I64, PTR, declared

NULL = ir.Constant(PTR, None)
_TYPES = {"ptr": PTR, "i8": I8, "i16": I16, "i32": I32, "i64": I64, "double": F64}
# What a field of a struct may hold: a number, numbers, or a pointer.
Value: TypeAlias = float | Sequence[int] | ir.Value


def struct_type(struct: Struct) -> ir.Type:
    """LLVM's type of a struct."""
    return ir.LiteralStructType([_type(f) for f in struct.fields()])


def struct_constant(struct: Struct, **values: Value) -> ir.Constant:
    """A constant of a struct, from a value for each field."""
    fields = list(struct.fields())
    assert values.keys() == {f.name for f in fields}, values
    parts = [_constant(f, values[f.name]) for f in fields]
    return ir.Constant(struct_type(struct), parts)


def _type(field: Field) -> ir.Type:
    word = _TYPES[field.word.llvm]
    return ir.ArrayType(word, field.count) if field.count else word


def _constant(field: Field, value: Value) -> ir.Value:
    if isinstance(value, ir.Value):
        return value
    if isinstance(value, Sequence):
        word = _TYPES[field.word.llvm]
        value = [ir.Constant(word, v) for v in value]
    return ir.Constant(_type(field), value)


class Data:
    """Constants under construction; equal strings are stored once."""

    def __init__(self, name: str) -> None:
        self.module = ir.Module(name)
        self.strings: dict[str, ir.Value] = {}

    def text(self, value: str) -> ir.Value:
        """A pointer to a NUL-terminated string."""
        if value not in self.strings:
            raw = bytearray(value.encode() + b"\0")
            constant = ir.Constant(ir.ArrayType(I8, len(raw)), raw)
            place = self.private(f"text{len(self.strings)}", constant)
            place.align = 1
            self.strings[value] = place
        return self.strings[value]

    def array(self, name: str, kind: ir.Type, items: Sequence[ir.Value]) -> ir.Value:
        """A pointer to a private array; null for an empty one."""
        if not items:
            return NULL
        return self.private(name, ir.Constant(ir.ArrayType(kind, len(items)), items))

    def numbers(self, name: str, kind: ir.Type, items: Sequence[int]) -> ir.Value:
        """A pointer to a private array of integers; null for an empty one."""
        return self.array(name, kind, [ir.Constant(kind, i) for i in items])

    def private(self, name: str, value: ir.Constant) -> ir.GlobalVariable:
        """A constant that only this module knows."""
        found = self.constant(f".{name}", value)
        found.linkage, found.unnamed_addr = "private", True
        return found

    def constant(self, name: str, value: ir.Constant) -> ir.GlobalVariable:
        """A constant with a name that others link."""
        found = self.external(name, value.type)
        found.initializer = value
        return found

    def external(self, name: str, kind: ir.Type) -> ir.GlobalVariable:
        """A constant that another module has."""
        found = ir.GlobalVariable(self.module, kind, name)
        found.global_constant = True
        found.type = PTR  # llvmlite gives it a type of its own
        return found

    def room(self, name: str, kind: ir.Type, count: int) -> ir.GlobalVariable:
        """An array of zeros that the runtime writes."""
        found = ir.GlobalVariable(self.module, ir.ArrayType(kind, count), name)
        found.initializer = ir.Constant(found.value_type, None)
        return found

    def called(self, name: str) -> ir.Function:
        """A pointer to one of the runtime's functions, abi.CALLS."""
        result, arguments = CALLS[name]
        found = declared(
            self.module, name, _TYPES[result], [_TYPES[a] for a in arguments]
        )
        found.type = PTR
        return found

    def function(self, name: str, result: ir.Type, arguments: int) -> ir.Function:
        """A pointer to a function that another module has, of so many pointers."""
        found = declared(self.module, name, result, [PTR] * arguments)
        found.type = PTR
        return found
