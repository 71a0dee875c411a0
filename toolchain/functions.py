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
    """Instructions of one function, in order, for so many values side by side."""

    def __init__(self, target: Target, lanes: int = 1) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.types: list[str] = []
        self.names: dict[Any, str] = {}
        self.intrinsics: set[str] = set()
        self.flags = " contract" if target.contract else ""

    def line(self, of: str, instruction: str) -> str:
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


def _scalar(of: str) -> str:
    return of.removesuffix(">").rsplit(" ", 1)[-1]


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
    signature = ", ".join(f"float %{v.name}" for v in parameters)
    symbol = f"{math.SYMBOL}{name}"
    return "\n".join(
        [
            *sorted(writer.intrinsics),
            f"define linkonce_odr hidden float @{symbol}({signature}) "
            "alwaysinline nounwind {",
            *writer.lines,
            f"  ret float {value}",
            "}\n",
        ]
    )


# Elements that go through one stage before the next: their buffers stay in L1.
BLOCK = 128
# Cycles of an operation that counts; others take one.
_CYCLES = {"fadd": 3, "fsub": 3, "fmul": 3, "fdiv": 11, "call": 2}
_VALUE = re.compile(r"%v(\d+)\b")


def _stages(writer: _Writer) -> list[int]:
    """The stage of every instruction: the first half of the chain, or the second.

    Cut where the fewest values go from one to the other.
    """
    operands = [[int(v) for v in _VALUE.findall(line)[1:]] for line in writer.lines]
    left = [0] * len(operands)  # cycles from an instruction to the result
    for v in reversed(range(len(operands))):
        for o in operands[v]:
            cycles = _CYCLES.get(writer.lines[v].split()[2], 1)
            left[o] = max(left[o], left[v] + cycles)

    def crossing(cut: int) -> set[int]:
        return {
            o
            for v, needed in enumerate(operands)
            for o in needed
            if left[v] < cut <= left[o]
        }

    longest = max(left)
    cuts = range(longest * 3 // 10, longest * 7 // 10)
    best = min(cuts, key=lambda cut: (len(crossing(cut)), abs(2 * cut - longest)))
    return [int(n < best) for n in left]


@cache
def array(name: str, target: Target) -> str:
    """IR of `i32 ops_math_array_<name>(ptr x, ptr out, i32 n, float, ...)`.

    A formula is one long chain of operations, and its speed is bounded by how many that
    wait a processor holds: two or three vectors. So a block of elements goes through
    half of the chain first, and then through the other half. exp and tanh gained 30 %
    on simd128 and 15 % with fused multiply-adds; exp without clamps gained nothing.
    """
    ((parameter, *others), result) = math.definition(name)
    lanes = target.vector_bits // 32 or 1
    writer = _Writer(target, lanes)
    wide = ".all" if lanes > 1 else ""
    writer.names = {parameter: "%x"} | {v: f"%{v.name}{wide}" for v in others}
    last = int(writer.value(result).removeprefix("%v"))
    stages = _stages(writer)
    bodies: list[list[str]] = [[] for _ in range(stages[last] + 1)]
    buffers: dict[int, str] = {}

    def body(stage: int) -> list[str]:
        """Instructions of a stage: its own, and what they need of other stages."""
        lines: list[str] = []
        here: dict[int, str] = {}

        def need(v: int) -> None:
            if v in here:
                return
            here[v] = f"%s{stage}.v{v}"
            if stages[v] < stage and "i1" not in writer.types[v]:
                buffers[v] = writer.types[v]
                lines.append(f"  {here[v]} = load {buffers[v]}, ptr %a{stage}.{v}")
                return
            for operand in map(int, _VALUE.findall(writer.lines[v])[1:]):
                need(operand)
            text = _VALUE.sub(lambda m: here[int(m[1])], writer.lines[v])
            lines.append(re.sub(r"%x\b", f"%x{stage}", text))

        wanted = {last} if stage == stages[last] else set(buffers)
        for v in sorted(wanted):
            if stages[v] == stage:
                need(v)
        return lines

    for stage in reversed(range(len(bodies))):
        bodies[stage] = body(stage)
    scalars = [v.name for v in others]
    return _array_text(name, writer, scalars, bodies, stages, buffers, last)


def _array_text(
    name: str,
    writer: _Writer,
    scalars: list[str],
    bodies: list[list[str]],
    stages: list[int],
    buffers: dict[int, str],
    last: int,
) -> str:
    """The loops over blocks, over a block's vectors by stages, and over a rest."""
    lanes, vector = writer.lanes, writer.wide("float")
    more = "".join(f", float %{v}" for v in scalars)
    every = [
        line
        for v in scalars
        if lanes > 1
        for line in (
            f"  %{v}.one = insertelement {vector} poison, float %{v}, i32 0",
            f"  %{v}.all = shufflevector {vector} %{v}.one, {vector} poison, "
            f"<{lanes} x i32> zeroinitializer",
        )
    ]
    lines = [
        *sorted(writer.intrinsics),
        "declare i32 @llvm.smin.i32(i32, i32)",
        f"declare float @{math.SYMBOL}{name}(float{', float' * len(scalars)})",
        f"define linkonce_odr hidden i32 @{math.SYMBOL}array_{name}"
        f"(ptr noalias %x, ptr noalias %out, i32 %n{more}) alwaysinline nounwind {{",
        "entry:",
        *every,
        *(
            f"  %b{v} = alloca [{BLOCK // lanes} x {of}], align 16"
            for v, of in buffers.items()
        ),
        f"  %whole = and i32 %n, {-lanes}",
        "  %some = icmp sgt i32 %whole, 0",
        "  br i1 %some, label %block, label %tail",
        "block:",
        "  %start = phi i32 [ 0, %entry ], [ %after, %end ]",
        "  %left = sub i32 %whole, %start",
        f"  %size = call i32 @llvm.smin.i32(i32 %left, i32 {BLOCK})",
        "  br label %stage0",
    ]
    for s, body in enumerate(bodies):
        before = f"stage{s - 1}" if s else "block"
        lines += [
            f"stage{s}:",
            f"  %j{s} = phi i32 [ 0, %{before} ], [ %next{s}, %stage{s} ]",
            f"  %i{s} = add i32 %start, %j{s}",
        ]
        if any(f"%x{s}" in line for line in body):
            lines += [
                f"  %px{s} = getelementptr float, ptr %x, i32 %i{s}",
                f"  %x{s} = load {vector}, ptr %px{s}, align 4",
            ]
        for line in body:
            if match := re.search(rf"ptr (%a{s}\.(\d+))$", line):
                of = _scalar(buffers[int(match[2])])
                lines.append(
                    f"  {match[1]} = getelementptr {of}, ptr %b{match[2]}, i32 %j{s}"
                )
            lines.append(line)
        for v, of in buffers.items():
            if stages[v] == s:
                lines += [
                    f"  %p{s}.{v} = getelementptr {_scalar(of)}, ptr %b{v}, i32 %j{s}",
                    f"  store {of} %s{s}.v{v}, ptr %p{s}.{v}",
                ]
        if s == len(bodies) - 1:
            lines += [
                f"  %pout = getelementptr float, ptr %out, i32 %i{s}",
                f"  store {vector} %s{s}.v{last}, ptr %pout, align 4",
                "  %after = add i32 %start, %size",
                "  %more = icmp slt i32 %after, %whole",
            ]
        lines += [
            f"  %next{s} = add i32 %j{s}, {lanes}",
            f"  %again{s} = icmp slt i32 %next{s}, %size",
        ]
        end = f"stage{s + 1}" if s + 1 < len(bodies) else "end"
        lines.append(f"  br i1 %again{s}, label %stage{s}, label %{end}")
    lines += [
        "end:",
        "  br i1 %more, label %block, label %tail",
        "tail:",
        "  %rest = icmp slt i32 %whole, %n",
        "  br i1 %rest, label %one, label %done",
        "one:",
        "  %k = phi i32 [ %whole, %tail ], [ %later, %one ]",
        "  %pk = getelementptr float, ptr %x, i32 %k",
        "  %xk = load float, ptr %pk",
        f"  %yk = call float @{math.SYMBOL}{name}(float %xk{more})",
        "  %qk = getelementptr float, ptr %out, i32 %k",
        "  store float %yk, ptr %qk",
        "  %later = add i32 %k, 1",
        "  %most = icmp slt i32 %later, %n",
        "  br i1 %most, label %one, label %done",
        "done:",
        "  ret i32 0",
        "}\n",
    ]
    return "\n".join(lines)


def calls(text: str) -> list[str]:
    """Names of the functions of toolchain.spec.math that IR calls."""
    return sorted(set(_CALL.findall(text)))


def used(texts: list[str], target: Target) -> list[str]:
    """IR of every function of toolchain.spec.math that texts call."""
    names = calls("".join(texts))
    arrays = [n.removeprefix("array_") for n in names if n.startswith("array_")]
    single = {n for n in names if not n.startswith("array_")} | set(arrays)
    # The linker takes a function only where one before it calls it.
    return [array(n, target) for n in arrays] + [
        function(n, target) for n in sorted(single)
    ]
