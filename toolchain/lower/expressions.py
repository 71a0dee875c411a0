"""Expressions: TVM's expressions of scalars as instructions of LLVM IR.

Written as they stand: TVM's own compiler would put every bound value into whatever
uses it while it simplifies, again and again; pow took 20 s, and exp of exp did not
end.
"""

from __future__ import annotations

import struct
from typing import Any

from toolchain.targets import Target

_TYPES = {
    "float32": "float",
    "float64": "double",
    "int32": "i32",
    "uint32": "i32",
    "int64": "i64",
    "bool": "i1",
}
_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}
_COMPARE = {"LT": "lt", "LE": "le", "GT": "gt", "GE": "ge", "EQ": "eq", "NE": "ne"}
_BITS = {
    "And": "and",
    "Or": "or",
    "BitwiseAnd": "and",
    "BitwiseOr": "or",
    "BitwiseXor": "xor",
    "LShift": "shl",
    "RShift": "ashr",
}
_CASTS = {
    ("float", "double"): "fpext",
    ("double", "float"): "fptrunc",
    ("i32", "float"): "sitofp",
    ("i32", "double"): "sitofp",
    ("i64", "i32"): "trunc",
}


class Writer:
    """Instructions of one function, in order, for so many values side by side."""

    def __init__(self, target: Target, lanes: int = 1) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.types: list[str] = []
        self.names: dict[Any, str] = {}
        self.intrinsics: set[str] = set()
        self.flags = " contract" if target.contract else ""

    def line(self, of: str, instruction: str) -> str:
        """Write an instruction with a result of this type; the result's name."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        self.types.append(of)
        return name

    def of(self, e: Any) -> str:
        """LLVM's type of an expression's values."""
        return self.wide(_TYPES[str(e.expr_ty().dtype)])

    def wide(self, scalar: str) -> str:
        """The type of so many values of a type."""
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def constant(self, scalar: str, text: str) -> str:
        """A constant in every lane."""
        return text if self.lanes == 1 else f"splat ({scalar} {text})"

    def value(self, e: Any) -> str:
        """Write what computes an expression; where its value is."""
        kind, of = type(e).__name__, self.of(e)
        scalar = _TYPES[str(e.expr_ty().dtype)]
        if kind == "Var":
            return self.names[e]
        if kind == "FloatImm":
            return self.constant(scalar, _constant(e.value, scalar))
        if kind == "IntImm":
            return self.constant(scalar, str(int(e.value)))
        if kind == "Let":
            self.names[e.var] = self.value(e.value)
            return self.value(e.body)
        if kind == "Select":
            condition, a, b = map(
                self.value, (e.condition, e.true_value, e.false_value)
            )
            return self.line(
                of, f"select {self.wide('i1')} {condition}, {of} {a}, {of} {b}"
            )
        if kind == "Cast":
            before, value = self.of(e.value), self.value(e.value)
            cast = _CASTS[_TYPES[str(e.value.expr_ty().dtype)], scalar]
            return self.line(of, f"{cast} {before} {value} to {of}")
        if kind == "Call":
            return self.call(e)
        return self.operation(kind, e, of)

    def operation(self, kind: str, e: Any, of: str) -> str:
        """Write arithmetic, a comparison or an operation on bits."""
        operand, a, b = self.of(e.a), self.value(e.a), self.value(e.b)
        real = "float" in operand or "double" in operand
        if kind in _BINARY:
            name = f"f{_BINARY[kind]}" if real else _BINARY[kind]
            flags = self.flags if real and kind != "Div" else ""
            return self.line(of, f"{name}{flags} {of} {a}, {b}")
        if kind in _COMPARE:
            sign = "" if kind in ("EQ", "NE") else "s"
            name = f"fcmp o{_COMPARE[kind]}" if real else f"icmp {sign}{_COMPARE[kind]}"
            return self.line(of, f"{name} {operand} {a}, {b}")
        return self.line(of, f"{_BITS[kind]} {of} {a}, {b}")

    def call(self, e: Any) -> str:
        """Write a change of type, an LLVM intrinsic or a call of a function."""
        of, name = self.of(e), e.op.name
        if name == "tirx.reinterpret":
            (x,) = e.args
            return self.line(of, f"bitcast {self.of(x)} {self.value(x)} to {of}")
        symbol, *operands = e.args
        arguments = ", ".join(f"{self.of(x)} {self.value(x)}" for x in operands)
        if name == "tirx.call_llvm_pure_intrin":
            from tvm.target import codegen

            lanes = "" if self.lanes == 1 else f"v{self.lanes}"
            suffix = lanes + ("f32" if "float" in of else "f64")
            function = f"{codegen.llvm_get_intrinsic_name(int(symbol))}.{suffix}"
        else:
            function = str(symbol.value)
        types = ", ".join(self.of(x) for x in operands)
        self.intrinsics.add(f"declare {of} @{function}({types})")
        return self.line(of, f"call {of} @{function}({arguments})")


def _constant(value: float, of: str) -> str:
    if of == "float":
        (value,) = struct.unpack("<f", struct.pack("<f", value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
