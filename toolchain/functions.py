"""Functions: those of toolchain.spec.math as LLVM IR, written without TVM's compiler.

TVM would put every bound value into whatever uses it while it simplifies, again and
again: pow took 20 s, and exp of exp did not end. Here a function is one of LLVM's,
always inlined before loops are vectorised, and its expression is written as it stands.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Any

from toolchain.spec import math
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
_CALL = re.compile(rf"@{math.SYMBOL}(\w+)\(")


class _Writer:
    """Instructions of one function, in order."""

    def __init__(self, target: Target) -> None:
        self.lines: list[str] = []
        self.names: dict[Any, str] = {}
        self.intrinsics: set[str] = set()
        self.flags = " contract" if target.contract else ""

    def line(self, instruction: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def value(self, e: Any) -> str:
        """Write what computes an expression; where its value is."""
        kind, of = type(e).__name__, _type(e)
        if kind == "Var":
            return self.names[e]
        if kind == "FloatImm":
            return _constant(e.value, of)
        if kind == "IntImm":
            return str(int(e.value))
        if kind == "Let":
            self.names[e.var] = self.value(e.value)
            return self.value(e.body)
        if kind == "Select":
            condition, a, b = map(
                self.value, (e.condition, e.true_value, e.false_value)
            )
            return self.line(f"select i1 {condition}, {of} {a}, {of} {b}")
        if kind == "Cast":
            before, value = _type(e.value), self.value(e.value)
            return self.line(f"{_CASTS[before, of]} {before} {value} to {of}")
        if kind == "Call":
            return self.call(e)
        return self.operation(kind, e, of)

    def operation(self, kind: str, e: Any, of: str) -> str:
        """Write arithmetic, a comparison or an operation on bits."""
        operand, a, b = _type(e.a), self.value(e.a), self.value(e.b)
        real = operand in ("float", "double")
        if kind in _BINARY:
            name = f"f{_BINARY[kind]}" if real else _BINARY[kind]
            flags = self.flags if real and kind != "Div" else ""
            return self.line(f"{name}{flags} {of} {a}, {b}")
        if kind in _COMPARE:
            sign = "" if kind in ("EQ", "NE") else "s"
            name = f"fcmp o{_COMPARE[kind]}" if real else f"icmp {sign}{_COMPARE[kind]}"
            return self.line(f"{name} {operand} {a}, {b}")
        return self.line(f"{_BITS[kind]} {of} {a}, {b}")

    def call(self, e: Any) -> str:
        """Write a change of type, an LLVM intrinsic or a call of a function."""
        of, name = _type(e), e.op.name
        if name == "tirx.reinterpret":
            (x,) = e.args
            return self.line(f"bitcast {_type(x)} {self.value(x)} to {of}")
        symbol, *operands = e.args
        arguments = ", ".join(f"{_type(x)} {self.value(x)}" for x in operands)
        if name == "tirx.call_llvm_pure_intrin":
            from tvm.target import codegen

            suffix = {"float": "f32", "double": "f64"}[of]
            function = f"{codegen.llvm_get_intrinsic_name(int(symbol))}.{suffix}"
        else:
            function = str(symbol.value)
        types = ", ".join(_type(x) for x in operands)
        self.intrinsics.add(f"declare {of} @{function}({types})")
        return self.line(f"call {of} @{function}({arguments})")


def _type(e: Any) -> str:
    return _TYPES[str(e.expr_ty().dtype)]


def _constant(value: float, of: str) -> str:
    if of == "float":
        (value,) = struct.unpack("<f", struct.pack("<f", value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@cache
def function(name: str, target: Target) -> str:
    """IR of `float ops_math_<name>(float, ...)`."""
    parameters, result = math.definition(name)
    writer = _Writer(target)
    writer.names = {v: f"%{v.name}" for v in parameters}
    value = writer.value(result)
    signature = ", ".join(f"{_type(v)} %{v.name}" for v in parameters)
    symbol = f"{math.SYMBOL}{name}"
    return "\n".join(
        [
            *sorted(writer.intrinsics),
            f"define linkonce_odr hidden {_type(result)} @{symbol}({signature}) "
            "alwaysinline nounwind {",
            *writer.lines,
            f"  ret {_type(result)} {value}",
            "}\n",
        ]
    )


def calls(text: str) -> list[str]:
    """Names of the functions of toolchain.spec.math that IR calls."""
    return sorted(set(_CALL.findall(text)))


def used(texts: list[str], target: Target) -> list[str]:
    """IR of every function of toolchain.spec.math that texts call."""
    return [function(name, target) for name in calls("".join(texts))]
