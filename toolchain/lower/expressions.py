"""Expressions: TVM's expressions of scalars as operations of LLVM IR.

Taken as they stand: TVM's own compiler would put every bound value into whatever uses
it while it simplifies, again and again; pow took 20 s, and exp of exp did not end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from llvmlite import ir

from toolchain.micro.builder import F32, F64, I1, I32, I64, declared, vector
from toolchain.spec.tvm import Expr
from toolchain.targets import Target

# What an operation takes: the number of another one, a parameter's name, or a constant.
Operand: TypeAlias = int | str | ir.Constant
_TYPES = {
    "float32": F32,
    "float64": F64,
    "int32": I32,
    "uint32": I32,
    "int64": I64,
    "bool": I1,
}
# Methods of llvmlite's builder.
_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}
_COMPARE = {"LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "EQ": "==", "NE": "!="}
_BITS = {
    "And": "and_",
    "Or": "or_",
    "BitwiseAnd": "and_",
    "BitwiseOr": "or_",
    "BitwiseXor": "xor",
    "LShift": "shl",
    "RShift": "ashr",
}
_CASTS = {
    (F32, F64): "fpext",
    (F64, F32): "fptrunc",
    (I32, F32): "sitofp",
    (I32, F64): "sitofp",
    (I64, I32): "trunc",
}


@dataclass(frozen=True)
class Operation:
    """An instruction that waits for its operands: emit(build, their values)."""

    opcode: str
    operands: tuple[Operand, ...]
    type: ir.Type
    emit: Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value]


class Formula:
    """Operations of expressions, in order, for so many values side by side.

    names: what TVM's variables stand for.
    """

    def __init__(self, target: Target, lanes: int = 1) -> None:
        self.lanes = lanes
        self.operations: list[Operation] = []
        self.names: dict[Expr, Operand] = {}
        self.flags = ("contract",) if target.contract else ()

    def emit(
        self, build: ir.IRBuilder, parameters: Mapping[str, ir.Value]
    ) -> list[ir.Value]:
        """Emit all operations; their values."""
        values: list[ir.Value] = []
        for operation in self.operations:
            operands = [resolved(o, values, parameters) for o in operation.operands]
            values.append(operation.emit(build, operands))
        return values

    def value(self, e: Expr) -> Operand:
        """Add what computes an expression; where its value is."""
        kind, scalar = type(e).__name__, _TYPES[str(e.expr_ty().dtype)]
        if kind == "Var":
            operand: Operand = self.names[e]
            return operand
        if kind in ("FloatImm", "IntImm"):
            return self.constant(scalar, e.value)
        if kind == "Let":
            self.names[e.var] = self.value(e.value)
            return self.value(e.body)
        if kind == "Select":
            parts = [self.value(p) for p in (e.condition, e.true_value, e.false_value)]
            return self._add("select", parts, self.of(e), _method("select"))
        if kind == "Cast":
            before, of = _TYPES[str(e.value.expr_ty().dtype)], self.of(e)
            cast = _CASTS[before, scalar]
            return self._add(cast, [self.value(e.value)], of, _to(cast, of))
        if kind == "Call":
            return self._call(e)
        return self._binary(kind, e)

    def of(self, e: Expr) -> ir.Type:
        """LLVM's type of an expression's values."""
        return vector(_TYPES[str(e.expr_ty().dtype)], self.lanes)

    def constant(self, scalar: ir.Type, value: float) -> ir.Constant:
        """A constant in every lane."""
        one = int(value) if isinstance(scalar, ir.IntType) else value
        lanes = self.lanes
        return ir.Constant(vector(scalar, lanes), one if lanes == 1 else [one] * lanes)

    def _add(
        self,
        opcode: str,
        operands: Sequence[Operand],
        of: ir.Type,
        emit: Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value],
    ) -> int:
        self.operations.append(Operation(opcode, tuple(operands), of, emit))
        return len(self.operations) - 1

    def _binary(self, kind: str, e: Expr) -> Operand:
        """Add arithmetic, a comparison or an operation on bits."""
        real = str(e.a.expr_ty().dtype).startswith("float")
        operands, of = [self.value(e.a), self.value(e.b)], self.of(e)
        if kind in _COMPARE:
            compare = "fcmp_ordered" if real else "icmp_signed"
            return self._add(compare, operands, of, _method(compare, _COMPARE[kind]))
        if kind in _BITS:
            return self._add(_BITS[kind], operands, of, _method(_BITS[kind]))
        name = f"f{_BINARY[kind]}" if real else _BINARY[kind]
        emit = _method(name)
        if real and kind != "Div":
            emit = _method(name, flags=self.flags)
        return self._add(name, operands, of, emit)

    def _call(self, e: Expr) -> Operand:
        """Add a change of type, an LLVM intrinsic or a call of a function."""
        of, name = self.of(e), e.op.name
        if name == "tirx.reinterpret":
            return self._add("bitcast", [self.value(e.args[0])], of, _to("bitcast", of))
        symbol, *arguments = e.args
        operands = [self.value(x) for x in arguments]
        if name == "tirx.call_llvm_pure_intrin":
            from tvm.target import codegen

            lanes = "" if self.lanes == 1 else f"v{self.lanes}"
            suffix = lanes + ("f32" if _TYPES[str(e.expr_ty().dtype)] == F32 else "f64")
            function = f"{codegen.llvm_get_intrinsic_name(int(symbol))}.{suffix}"
        else:
            function = str(symbol.value)
        types = [self.of(x) for x in arguments]
        return self._add("call", operands, of, partial(_called, function, of, types))


def resolved(
    operand: Operand,
    values: Sequence[ir.Value] | Mapping[int, ir.Value],
    parameters: Mapping[str, ir.Value],
) -> ir.Value:
    """The value of an operand. values: of the operations, by their numbers."""
    if isinstance(operand, int):
        return values[operand]
    return parameters[operand] if isinstance(operand, str) else operand


def _method(
    name: str, *before: str, **options: Any
) -> Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value]:
    """Calls a method of the builder: of `before`, the operands and options."""
    return lambda build, values: getattr(build, name)(*before, *values, **options)


def _to(
    name: str, of: ir.Type
) -> Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value]:
    """Calls a method of the builder that changes the type of its operand."""
    return lambda build, values: getattr(build, name)(values[0], of)


def _called(
    name: str,
    of: ir.Type,
    types: Sequence[ir.Type],
    build: ir.IRBuilder,
    values: Sequence[ir.Value],
) -> ir.Value:
    return build.call(declared(build.module, name, of, types), values)
