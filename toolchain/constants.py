"""Constants: vector constants of loops become locals, set once before the loops.

LLVM writes a `v128.const` (18 bytes) at every use. V8 builds each anew there, which
takes three instructions, in every step of a loop: exp ran three times as fast once its
constants were locals. Here each becomes the result of an empty inline assembly, which
LLVM neither looks into nor repeats and which emits no code.
"""

from __future__ import annotations

import re

_FUNCTION = re.compile(r"^define [^\n]*\{\n.*?^\}", re.M | re.S)
_LABEL = re.compile(r"^([\w.$-]+|\"[^\"]+\"):")
_TARGET = re.compile(r"label %([\w.$-]+|\"[^\"]+\")")
_SPLAT = re.compile(r"splat \((\w+) ([^)]+)\)")
_TYPES = {"float": 4, "double": 2, "i64": 2, "i32": 4, "i16": 8, "i8": 16}
# Instructions that do not want to see their constant: a shift's amount or a divisor is
# part of the instruction that LLVM chooses.
_TAKES = re.compile(
    r" = (?:f(?:add|sub|mul|div|cmp)|select|add|sub|and|or|mul|icmp"
    r"|(?:tail |musttail )?call) "
)


def hide_constants(text: str) -> str:
    """The module's IR with the splat constants of loops in locals."""
    return _FUNCTION.sub(lambda m: _hide(m[0]), text)


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
    values: dict[tuple[str, str, str], str] = {}

    def local(match: re.Match[str], kind: str) -> str:
        scalar, value = match.groups()
        key = (kind, scalar, value)
        return values.setdefault(key, f"%constant.{len(values)}")

    for i in sorted(_loop_lines(lines)):
        line = lines[i]
        if not _TAKES.search(line):
            continue

        def replaced(match: re.Match[str]) -> str:
            scalar, value = match.groups()
            if scalar not in _TYPES or value in ("0", "0.000000e+00", "-1"):
                return match[0]
            return local(match, f"<{_TYPES[scalar]} x {scalar}>")

        if all(f"<{n} x {t}>" in line for t, n in _TYPES.items() if f"splat ({t} " in line):
            lines[i] = _SPLAT.sub(replaced, line)
    if not values:
        return function
    # At the end of the entry block.
    at = next(i for i, l in enumerate(lines) if re.match(r"  (?:br|switch|ret) ", l))
    new = []
    for (kind, scalar, value), name in values.items():
        small = "i32" if scalar in ("i8", "i16") else scalar
        new.append(f'  {name}.s = call {small} asm "", "=r,0"({small} {value})')
        one = f"{name}.s"
        if small != scalar:
            new.append(f"  {name}.t = trunc i32 {one} to {scalar}")
            one = f"{name}.t"
        new.append(f"  {name}.v = insertelement {kind} poison, {scalar} {one}, i32 0")
        lanes = kind.split()[0][1:]
        new.append(
            f"  {name} = shufflevector {kind} {name}.v, {kind} poison, "
            f"<{lanes} x i32> zeroinitializer"
        )
    lines[at:at] = new
    return "\n".join(lines)
