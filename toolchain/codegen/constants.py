"""Constants: vector constants of loops become locals, set once before the loops.

LLVM writes a `v128.const` (18 bytes) at every use. V8 builds each anew there, which
takes several instructions, in every step of a loop: exp ran at 4.2 GB/s, and at 8.2
once its constants were locals; wasmtime does not mind. Here each becomes the result of
what LLVM neither looks into nor repeats and which emits no code: a fence of arithmetic,
or for integers an empty inline assembly, whose result costs 4 bytes more on its way
through a local.
"""

from __future__ import annotations

import re

from toolchain.lower.rewrite import exactly, rewrite

_FUNCTION = r"^define [^\n]*\{\n(?s:.*?)^\}"
_LABEL = re.compile(r"^([\w.$-]+|\"[^\"]+\"):")
_TARGET = re.compile(r"label %([\w.$-]+|\"[^\"]+\")")
_SPLAT = re.compile(r"splat \((\w+) ([^)]+)\)")
_LANES = {"float": 4, "double": 2, "i64": 2, "i32": 4, "i16": 8, "i8": 16}
# Instructions that do not want to see their constant: a shift's amount or a divisor is
# part of the instruction that LLVM chooses.
_TAKES = re.compile(
    r" = (?:f(?:add|sub|mul|div|cmp)|select|add|sub|and|or|mul|icmp"
    r"|(?:tail |musttail )?call) "
)


_OPAQUE = {
    "float": "call float @llvm.arithmetic.fence.f32(float {})",
    "double": "call double @llvm.arithmetic.fence.f64(double {})",
    "i64": 'call i64 asm "", "=r,0"(i64 {})',
    "i32": 'call i32 asm "", "=r,0"(i32 {})',
}
_DECLARED = """
declare float @llvm.arithmetic.fence.f32(float)
declare double @llvm.arithmetic.fence.f64(double)
"""


def hide_constants(text: str) -> str:
    """The module's IR with the splat constants of loops in locals."""
    times = exactly(len(re.findall(r"^define ", text, re.M)))
    text = rewrite(text, "a function", _FUNCTION, lambda m: _hide(m[0]), times)
    return text + _DECLARED


def _loop_lines(lines: list[str]) -> set[int]:
    """Numbers of the lines in loops: between a label and a later branch to it."""
    found: set[int] = set()
    labels: dict[str, int] = {}
    for i, line in enumerate(lines):
        if match := _LABEL.match(line):
            labels[match[1]] = i
        for label in _TARGET.findall(line):
            if label in labels:
                found.update(range(labels[label], i + 1))
    return found


def _hide(function: str) -> str:
    lines = function.split("\n")
    names: dict[tuple[str, str], str] = {}

    def local(match: re.Match[str]) -> str:
        scalar, value = match.groups()
        # These take one instruction, and LLVM makes other instructions of them.
        if scalar not in _LANES or value in ("0", "0.000000e+00", "-1"):
            return match[0]
        return names.setdefault((scalar, value), f"%constant.{len(names)}")

    for i in sorted(_loop_lines(lines)):
        if _TAKES.search(lines[i]) and _whole(lines[i]):
            times = exactly(lines[i].count("splat ("))
            lines[i] = rewrite(lines[i], "a constant", _SPLAT.pattern, local, times)
    if names:
        last = re.compile(r"  (?:br|switch|ret) ")
        at = next(i for i, line in enumerate(lines) if last.match(line))
        lines[at:at] = [
            text for key, name in names.items() for text in _set(name, *key)
        ]
    return "\n".join(lines)


def _whole(line: str) -> bool:
    """Whether the constants fill one register."""
    scalars = {match[1] for match in _SPLAT.finditer(line)}
    return all(f"<{_LANES.get(s)} x {s}>" in line for s in scalars)


def _set(name: str, scalar: str, value: str) -> list[str]:
    """IR that sets a local: a scalar constant, which is short, in every lane."""
    lanes = _LANES[scalar]
    kind = f"<{lanes} x {scalar}>"
    wide = "i32" if scalar in ("i8", "i16") else scalar
    one = f"{name}.one"
    narrow = [f"  {one}.narrow = trunc i32 {one} to {scalar}"] if wide != scalar else []
    return [
        f"  {one} = {_OPAQUE[wide].format(value)}",
        *narrow,
        f"  {name}.first = insertelement {kind} poison, "
        f"{scalar} {one}{'.narrow' if narrow else ''}, i32 0",
        f"  {name} = shufflevector {kind} {name}.first, {kind} poison, "
        f"<{lanes} x i32> zeroinitializer",
    ]
