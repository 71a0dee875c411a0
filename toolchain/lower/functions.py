"""Functions: those of toolchain.spec.math as LLVM IR, of one element and of an array.

A function of one element is one of LLVM's, always inlined before loops are vectorised.

A formula is one long chain of operations, and its speed is bounded by how many that
wait a processor holds: two or three vectors. So an array goes through a formula in
blocks, and a block through one stage of the chain after the other: 30 to 60 % faster.
Where a function has a short form, its first stage also finds whether all elements of
the block are within the form's limits; if not, the block starts anew with the full one.
Vectors are whole: what is left of an array lies in a buffer of a step. The code is one
function for all operators that have it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from toolchain.lower.expressions import Writer
from toolchain.spec import math
from toolchain.targets import Target

_CALL = re.compile(rf"@{math.SYMBOL}(\w+)\(")


def sources(text: str) -> list[str]:
    """Roots (see slices) of the functions that an IR text calls, of arrays too."""
    found = {re.sub("^array_(sum_)?", "", name) for name in calls(text)}
    return [f"toolchain.spec.math:{name}" for name in sorted(found)]


@cache
def function(name: str, target: Target) -> str:
    """IR of `float ops_math_<name>(float, ...)`."""
    definition = math.definition(name, fused=target.contract)
    writer = Writer(target)
    writer.names = {v: f"%{v.name}" for v in definition.parameters}
    value = writer.value(definition.result)
    signature = ", ".join(f"float %{v.name}" for v in definition.parameters)
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
BLOCK = 256
# Vectors that a step of a short formula takes: 10 % faster than one, which leaves half
# of its instructions to the loop; 4: 2 % faster yet, and a third more code.
TOGETHER = 2
SHORT = 40
# Cycles of a stage's chain of operations, about; most values that go from one stage to
# the next where there are more than two. Cycles of an operation; others take one.
STAGE = 24
CROSSING = 6
_CYCLES = {"fadd": 3, "fsub": 3, "fmul": 3, "fdiv": 11, "call": 2}
_VALUE = re.compile(r"%v(\d+)\b")
_BEFORE = -1  # the stage of what no element enters: once, before the loops


class _Form:
    """A formula of vectors, cut into stages, as loops over the vectors of a block.

    main: blocks go through it first. summed: results are added up. together: vectors
    of a step. bodies: the stages' instructions; ~ stands for a vector's number in its
    step. buffers: values that go from one stage to later ones, by number, with their
    types. limits: of values of the first stage.
    """

    def __init__(
        self, name: str, target: Target, short: bool, main: bool, summed: bool
    ) -> None:
        definition = math.definition(name, short, target.contract)
        self.summed = summed
        self.name = "short" if short else "full"
        self.lanes = target.vector_bits // 32
        self.writer = Writer(target, self.lanes)
        self.scalars = [v.name for v in definition.parameters[1:]]
        self.writer.names = {
            v: f"%{self.name}.{v.name}.all" for v in definition.parameters
        }
        self.writer.names[definition.parameters[0]] = "%x"
        self.last = self._number(definition.result)
        self.limits = [(self._number(x.value), x) for x in definition.limits]
        lines = self.writer.lines
        self.operands = [[int(v) for v in _VALUE.findall(x)[1:]] for x in lines]
        self.stages = self._stages()
        few = len(lines) - self.stages.count(_BEFORE) <= SHORT
        self.together = TOGETHER if main and few else 1
        self.count = self.stages[self.last] + 1
        self.buffers: dict[int, str] = {}
        self.bodies = [self._body(s) for s in reversed(range(self.count))][::-1]

    def _number(self, e: Any) -> int:
        return int(self.writer.value(e).removeprefix("%v"))

    def _varying(self) -> list[bool]:
        """Of every instruction, whether its value depends on the element."""
        varies: list[bool] = []
        for line, operands in zip(self.writer.lines, self.operands, strict=True):
            enters = re.search(r"%x\b", line) is not None
            varies.append(enters or any(varies[o] for o in operands))
        return varies

    def _stages(self) -> list[int]:
        """The stage of every instruction, by the cycles from it to the result.

        Each cut lies, not far from equal parts, where the fewest values go across.
        """
        varies = self._varying()
        left = [0] * len(varies)
        for v in reversed(range(len(left))):
            cycles = _CYCLES.get(self.writer.lines[v].split()[2], 1)
            for o in self.operands[v]:
                left[o] = max(left[o], (left[v] + cycles) * varies[o])

        def crossing(cut: int) -> int:
            across = (
                o
                for v, needed in enumerate(self.operands)
                for o in needed
                if left[v] < cut <= left[o]
            )
            return len(set(across))

        def cuts(count: int) -> list[int]:
            found = []
            for i in range(1, count):
                middle, most = max(left) * i // count, max(left) // (5 * (count - 1))
                near = range(middle - most, middle + most + 1)
                found.append(min((crossing(c), abs(c - middle), c) for c in near))
            if count > 2 and max(found)[0] > CROSSING:
                return cuts(count - 1)
            return [c for _, _, c in found]

        chosen = cuts(max(2, round(max(left) / STAGE)))
        return [
            sum(n < c for c in chosen) if moves else _BEFORE
            for n, moves in zip(left, varies, strict=True)
        ]

    def _body(self, stage: int) -> list[str]:
        """Instructions of a stage: its own, and what they need of other stages."""
        lines: list[str] = []
        here: dict[int, str] = {}

        def need(v: int) -> None:
            if v in here:
                return
            if self.stages[v] == _BEFORE:
                here[v] = f"%{self.name}.v{v}"
                return
            here[v] = f"%{self.name}{stage}.v{v}~"
            if self.stages[v] < stage and "i1" not in self.writer.types[v]:
                self.buffers[v] = self.writer.types[v]
                of, at = self.writer.types[v], f"%{self.name}{stage}"
                lines.append(f"  {here[v]} = load {of}, ptr {at}.b{v}~")
                return
            for operand in self.operands[v]:
                need(operand)
            lines.append(_VALUE.sub(lambda m: here[int(m[1])], self.writer.lines[v]))

        for v in sorted({self.last, *self.buffers}):
            if self.stages[v] == stage:
                need(v)
        if stage == 0:
            for v, _ in self.limits:
                need(v)
        return lines

    def before(self) -> list[str]:
        """Instructions before the loops: what no element enters."""
        vector = self.writer.wide("float")
        lines = []
        for v in self.scalars:
            one = f"%{self.name}.{v}"
            lines += [
                f"  {one} = insertelement {vector} poison, float %{v}, i32 0",
                f"  {one}.all = shufflevector {vector} {one}, {vector} poison, "
                f"<{self.lanes} x i32> zeroinitializer",
            ]
        for v, line in enumerate(self.writer.lines):
            if self.stages[v] == _BEFORE:
                lines.append(_VALUE.sub(rf"%{self.name}.v\1", line))
        return lines

    def _place(self, v: int) -> tuple[str, int, int]:
        """Which buffer a value goes through, at which byte, and bytes of a vector."""
        wide = [b for b, of in self.buffers.items() if "double" in of]
        if v in wide:
            return "wide", 8 * BLOCK * wide.index(v), 8 * self.lanes
        narrow = [b for b in self.buffers if b not in wide]
        return "narrow", 4 * BLOCK * narrow.index(v), 4 * self.lanes

    def loop(self, stage: int, before: str, after: str) -> list[str]:
        """A stage: a loop from block `before` that goes on to block `after`."""
        at, vector = f"{self.name}{stage}", self.writer.wide("float")
        body, limits = self.bodies[stage], [] if stage else self.limits
        stored = [v for v in self.buffers if self.stages[v] == stage]
        loaded = [v for v in self.buffers if any(f".b{v}~" in line for line in body)]
        # By name: what its address starts from, bytes from there, bytes of a vector.
        arrays = {f"b{v}": self._place(v) for v in (*stored, *loaded)}
        if any(re.search(r"%x\b", line) for line in body):
            arrays["x"] = ("from", 0, 4 * self.lanes)
        if stage == self.count - 1:
            arrays["out"] = ("to", 0, 4 * self.lanes)
        lines = [
            f"{at}:",
            f"  %{at}.j = phi i32 [ 0, %{before} ], [ %{at}.next, %{at} ]",
        ]
        integers = self.writer.wide("i32")
        for i, (_, limit) in enumerate(limits):
            start = self.writer.constant("i32", str(limit.bound))
            lines.append(
                f"  %{at}.limit{i}.0 = phi {integers} [ {start}, %{before} ], "
                f"[ %{at}.limit{i}.{self.together}, %{at} ]"
            )
        summed = self.summed and stage == self.count - 1
        if summed:
            lines.append(
                f"  %{at}.sum.0 = phi {vector} [ zeroinitializer, %{before} ], "
                f"[ %{at}.sum.{self.together}, %{at} ]"
            )
        for start in sorted({start for start, _, _ in arrays.values()}):
            of = "double" if start == "wide" else "float"
            lines.append(
                f"  %{at}.{start} = getelementptr inbounds {of}, ptr %{start}, "
                f"i32 %{at}.j"
            )
        for u in range(self.together):
            copy = [
                f"  %{at}.{array}~ = getelementptr inbounds i8, ptr %{at}.{start}, "
                f"i32 {offset + u * size}"
                for array, (start, offset, size) in arrays.items()
            ]
            if "x" in arrays:
                copy.append(f"  %{at}.x.v~ = load {vector}, ptr %{at}.x~, align 4")
            copy += [re.sub(r"%x\b", f"%{at}.x.v~", line) for line in body]
            for i, (v, limit) in enumerate(limits):
                before, value = f"%{at}.limit{i}.{u}", f"%{at}.v{v}~"
                folded = _folded(limit, integers, before, value)
                copy.append(f"  %{at}.limit{i}.{u + 1} = {folded}")
            for v in stored:
                copy.append(f"  store {self.buffers[v]} %{at}.v{v}~, ptr %{at}.b{v}~")
            if "out" in arrays:
                copy.append(
                    f"  store {vector} %{at}.v{self.last}~, ptr %{at}.out~, align 4"
                )
            if summed:
                copy.append(
                    f"  %{at}.sum.{u + 1} = fadd {vector} %{at}.sum.{u}, "
                    f"%{at}.v{self.last}~"
                )
            lines += [line.replace("~", f".{u}") for line in copy]
        return [
            *lines,
            f"  %{at}.next = add i32 %{at}.j, {self.lanes * self.together}",
            f"  %{at}.again = icmp slt i32 %{at}.next, %size",
            f"  br i1 %{at}.again, label %{at}, label %{after}",
        ]


def _folded(limit: math.Limit, of: str, a: str, b: str) -> str:
    """The fold of two int32, or of vectors of them."""
    if limit.fold in ("or", "and"):
        return f"{limit.fold} {of} {a}, {b}"
    kind = "i32" if of == "i32" else "v4i32"
    return f"call {of} @llvm.{limit.fold}.{kind}({of} {a}, {of} {b})"


_INTRINSICS = (
    "declare i32 @llvm.smin.i32(i32, i32)",
    "declare i32 @llvm.smax.i32(i32, i32)",
    "declare void @llvm.memcpy.p0.p0.i32(ptr, ptr, i32, i1)",
    "declare i32 @llvm.wasm.anytrue.v4i32(<4 x i32>)",
    "declare <4 x i32> @llvm.smin.v4i32(<4 x i32>, <4 x i32>)",
    "declare <4 x i32> @llvm.smax.v4i32(<4 x i32>, <4 x i32>)",
)


_SUM_PHI = "  %sum = phi <4 x float> [ zeroinitializer, %entry ], [ %sum.next, %end ]"


def _begin(form: _Form) -> list[str]:
    """The next block: `size` elements at `from`, whose results go to `to`.

    Where less than a step is left, both are a buffer, with zeros after the rest.
    """
    step = form.lanes * form.together
    zeros = f"[{step} x float]"
    return [
        f"  %rest = alloca {zeros}, align 16",
        "  br label %block",
        "block:",
        "  %px = phi ptr [ %x, %entry ], [ %x.next, %end ]",
        "  %pout = phi ptr [ %out, %entry ], [ %out.next, %end ]",
        "  %left = phi i32 [ %n, %entry ], [ %more, %end ]",
        *([_SUM_PHI] if form.summed else []),
        f"  %edge = icmp slt i32 %left, {step}",
        "  br i1 %edge, label %in, label %inner",
        "in:",
        "  %bytes = shl i32 %left, 2",
        f"  store {zeros} zeroinitializer, ptr %rest",
        "  call void @llvm.memcpy.p0.p0.i32(ptr %rest, ptr %px, i32 %bytes, i1 false)",
        "  br label %begin",
        "inner:",
        f"  %steps = and i32 %left, {-step}",
        f"  %most = call i32 @llvm.smin.i32(i32 %steps, i32 {BLOCK})",
        "  br label %begin",
        "begin:",
        f"  %size = phi i32 [ {step}, %in ], [ %most, %inner ]",
        "  %from = phi ptr [ %rest, %in ], [ %px, %inner ]",
        "  %to = phi ptr [ %rest, %in ], [ %pout, %inner ]",
        f"  br label %{form.name}0",
    ]


# A block's sum of results, which start from zero, meets that of the blocks before it.
# What is left of an array is added up without what stands behind it.
_SUM = """
  %summed = phi <4 x float> {sums}
  %counted = select i1 %edge, <4 x float> zeroinitializer, <4 x float> %summed
  %sum.next = fadd <4 x float> %sum, %counted"""
_TOTAL = """  %high = shufflevector <4 x float> %sum.next, <4 x float> poison, \
<4 x i32> <i32 2, i32 3, i32 2, i32 3>
  %halves = fadd <4 x float> %sum.next, %high
  %first = extractelement <4 x float> %halves, i32 0
  %second = extractelement <4 x float> %halves, i32 1
  %whole = fadd float %first, %second
  %left.over = select i1 %edge, i32 %left, i32 0
  br label %more.left
more.left:
  %t = phi float [ %whole, %done ], [ %t.next, %add ]
  %i = phi i32 [ 0, %done ], [ %i.next, %add ]
  %still = icmp slt i32 %i, %left.over
  br i1 %still, label %add, label %store
add:
  %element.at = getelementptr inbounds float, ptr %rest, i32 %i
  %element = load float, ptr %element.at
  %t.next = fadd float %t, %element
  %i.next = add i32 %i, 1
  br label %more.left
store:
  store float %t, ptr %total
"""
_END = """end:{sum}
  %x.next = getelementptr float, ptr %px, i32 %size
  %out.next = getelementptr float, ptr %pout, i32 %size
  %more = sub i32 %left, %size
  %again = icmp sgt i32 %more, 0
  br i1 %again, label %block, label %last
last:
  br i1 %edge, label %back, label %done
back:
  %written = shl i32 %left, 2
  call void @llvm.memcpy.p0.p0.i32(ptr %pout, ptr %rest, i32 %written, i1 false)
  br label %done
done:
{total}  ret i32 0
}}
"""


def _end(last: list[tuple[str, int]], summed: bool) -> str:
    """After a block: the next one, or the end. last: the final stages of the forms."""
    if not summed:
        return _END.format(sum="", total="")
    sums = ", ".join(f"[ %{at}.sum.{n}, %{at} ]" for at, n in last)
    return _END.format(sum=_SUM.format(sums=sums), total=_TOTAL)


def _check(form: _Form, beyond: str) -> list[str]:
    """After the first stage: on with the second one, or `beyond` its limits."""
    lines, last = ["check:"], "zeroinitializer"
    for i, (_, limit) in enumerate(form.limits):
        lines += [
            f"  %bits{i} = xor <4 x i32> %{form.name}0.limit{i}.{form.together}, "
            f"splat (i32 {limit.bound})",
            f"  %off{i} = lshr <4 x i32> %bits{i}, splat (i32 {limit.free})",
            f"  %beyond{i} = or <4 x i32> {last}, %off{i}",
        ]
        last = f"%beyond{i}"
    return [
        *lines,
        f"  %lanes = call i32 @llvm.wasm.anytrue.v4i32(<4 x i32> {last})",
        "  %beyond = icmp ne i32 %lanes, 0",
        f"  br i1 %beyond, label %{beyond}, label %{form.name}1",
    ]


def _short_first(name: str, target: Target) -> tuple[str, str]:
    """(symbol, IR) of a function of one element that tries its short form first."""
    definition = math.definition(name, True, target.contract)
    writer = Writer(target)
    writer.names = {v: f"%{v.name}" for v in definition.parameters}
    value, last = writer.value(definition.result), "0"
    for limit in definition.limits:
        at, bound = writer.value(limit.value), str(limit.bound)
        within = writer.line("i32", _folded(limit, "i32", at, bound))
        bits = writer.line("i32", f"xor i32 {within}, {bound}")
        off = writer.line("i32", f"lshr i32 {bits}, {limit.free}")
        last = writer.line("i32", f"or i32 {off}, {last}")
    signature = ", ".join(f"float %{v.name}" for v in definition.parameters)
    symbol = f"ops_short_{name}"
    lines = [
        *sorted(writer.intrinsics | {i for i in _INTRINSICS if ".i32(i32, i32)" in i}),
        f"define linkonce_odr hidden float @{symbol}({signature}) alwaysinline {{",
        *writer.lines,
        f"  %within = icmp eq i32 {last}, 0",
        "  br i1 %within, label %short, label %full",
        "short:",
        f"  ret float {value}",
        "full:",
        f"  %whole = call float @{math.SYMBOL}{name}({signature})",
        "  ret float %whole",
        "}\n",
    ]
    return symbol, "\n".join(lines)


def _one_by_one(name: str, summed: bool, target: Target) -> str:
    """Without vectors: elements in a loop, by the short form where that holds."""
    symbol, scalars = math.SYMBOL, math.definition(name).parameters[1:]
    more = "".join(f", float %{v.name}" for v in scalars)
    kinds = ", ".join(["float"] * (1 + len(scalars)))
    prefix, to = ("sum_", ", ptr %total") if summed else ("", "")
    end = (
        "  %single = fptrunc double %sum to float\n  store float %single, ptr %total\n"
    )
    called, short = f"{symbol}{name}", ""
    if math.has_short(name):
        called, short = _short_first(name, target)
    return f"""{short}declare float @{symbol}{name}({kinds})
define linkonce_odr hidden i32 @{symbol}array_{prefix}{name}(ptr noalias %x, \
ptr noalias %out, i32 %n{more}{to}) noinline nounwind {{
entry:
  br label %head
head:
  %i = phi i32 [ 0, %entry ], [ %next, %loop ]
  %sum = phi double [ 0.0, %entry ], [ %added, %loop ]
  %again = icmp slt i32 %i, %n
  br i1 %again, label %loop, label %done
loop:
  %from = getelementptr inbounds float, ptr %x, i32 %i
  %to = getelementptr inbounds float, ptr %out, i32 %i
  %element = load float, ptr %from
  %value = call float @{called}(float %element{more})
  store float %value, ptr %to
  %wide = fpext float %value to double
  %added = fadd double %sum, %wide
  %next = add i32 %i, 1
  br label %head
done:
{end if summed else ""}  ret i32 0
}}
"""


@cache
def array(name: str, target: Target) -> str:
    """IR of `i32 ops_math_array_<name>(ptr x, ptr out, i32 n, float, ...)`.

    array_sum_<name> has a pointer more, to what the results add up to: infinity, and
    no results, where an element is beyond limits that the function itself has.
    """
    symbol, summed = f"{math.SYMBOL}array_{name}", name.startswith("sum_")
    name = name.removeprefix("sum_")
    if not target.vector_bits:
        return _one_by_one(name, summed, target)
    short = math.has_short(name)
    form = _Form(name, target, short=short, main=True, summed=summed)
    forms = [form]
    if short:
        forms.append(_Form(name, target, short=False, main=False, summed=summed))
    more = "".join(f", float %{v}" for v in form.scalars)
    more += ", ptr %total" if summed else ""
    buffers = max(len(f.buffers) for f in forms)
    lines = [
        *sorted({i for f in forms for i in f.writer.intrinsics} | set(_INTRINSICS)),
        f"define linkonce_odr hidden i32 @{symbol}"
        f"(ptr noalias %x, ptr noalias %out, i32 %n{more}) noinline nounwind {{",
        "entry:",
        *(line for f in forms for line in f.before()),
        *(
            f"  %{kind} = alloca [{buffers} x [{BLOCK} x {of}]], align 16"
            for kind, of in (("narrow", "float"), ("wide", "double"))
        ),
        *_begin(form),
    ]
    for f in forms:
        for stage in range(f.count):
            before = f"{f.name}{stage - 1}" if stage else "begin"
            after = f"{f.name}{stage + 1}" if stage + 1 < f.count else "end"
            if f.limits and stage == 0:
                after = "check"
            elif form.limits and stage == (f is form):
                before = "check"
            lines += f.loop(stage, before, after)
    if form.limits:
        lines += _check(form, "full0" if short else "past")
    if form.limits and not short:
        infinity = "0x7FF0000000000000"
        lines += ["past:", f"  store float {infinity}, ptr %total", "  ret i32 0"]
    last = [(f"{f.name}{f.count - 1}", f.together) for f in forms]
    return "\n".join([*lines, _end(last, summed)])


def calls(text: str) -> list[str]:
    """Names of the functions of toolchain.spec.math that IR calls."""
    return sorted(set(_CALL.findall(text)))


def used(texts: list[str], target: Target) -> list[str]:
    """IR of every function of toolchain.spec.math that texts call."""
    names = calls("".join(texts))
    arrays = [
        array(n.removeprefix("array_"), target) for n in names if n.startswith("array_")
    ]
    single = [
        n for n in calls("".join([*texts, *arrays])) if not n.startswith("array_")
    ]
    return arrays + [function(n, target) for n in single]
