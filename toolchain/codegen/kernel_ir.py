"""Kernel IR: the IR of an operator's kernels, and what LLVM may do with it."""

from __future__ import annotations

import re

from toolchain.lower import functions
from toolchain.lower.rewrite import OPTIONAL, SOME, check, exactly, rewrite
from toolchain.lower.te import Kernel, entry, lower, without_loader
from toolchain.spec import Operator
from toolchain.targets import Target

_ONE_COPY = "define weak_odr hidden "


def kernel_flags(
    text: str, operator: Operator, variant: tuple[str, ...], target: Target
) -> str:
    """Say what LLVM may do: fuse multiply-adds, reorder a reduction; wrap integers."""
    if variant[0] != "float32":
        # TVM declares that integers never overflow; integers of tensors wrap.
        flags = r"( = (?:add|sub|mul|shl))(?: nuw| nsw)+"
        text = rewrite(text, "an integer flag", flags, r"\1", SOME)
        check("an integer flag more", len(_WRAPS.findall(text)), exactly(0))
    if target.contract:
        text = flagged(text, "contract", ("fadd", "fsub", "fmul"))
    if operator.reassociate:
        text = flagged(text, "reassoc", ("fadd", "fmul"))
    return text


_WRAPS = re.compile(r"\b(?:add|sub|mul|shl) n[us]w\b")


def flagged(text: str, flag: str, names: tuple[str, ...]) -> str:
    """The IR with a flag at each of some instructions on floats."""
    either = "|".join(names)
    times = exactly(len(re.findall(rf"\b(?:{either})\b", text)))
    what = f"an instruction for {flag}"
    return rewrite(text, what, f"( = (?:{either})) ", rf"\1 {flag} ", times)


# Steps of a loop that are taken together where they are short: 16 elements of
# float32. 8 make add 5 % faster, and a library of add alone larger than 10 KB.
_TOGETHER = 4
_SHORT = 12
_LATCH = re.compile(r"^  br label %for_begin_i\n", re.M)
_BODY = re.compile(r"^for_body_i:.*?^}", re.M | re.S)


def _interleaved(text: str, written: bool) -> str:
    """The IR in which the loop of a short elementwise formula takes 16 elements.

    written: its schedule writes the loops, which may be others.
    """
    bodies = _BODY.findall(text)
    check("the loop of a formula", len(bodies), OPTIONAL if written else exactly(1))
    if not bodies or bodies[0].count(" = ") > _SHORT or functions.calls(bodies[0]):
        return text
    jumps = list(_LATCH.finditer(text))
    check("a jump to the loop", len(jumps), exactly(2))
    hint, latch = "  br label %for_begin_i, !llvm.loop !90000\n", jumps[1]
    return f"""{text[: latch.start()]}{hint}{text[latch.end() :]}
!90000 = distinct !{{!90000, !90001}}
!90001 = !{{!"llvm.loop.interleave.count", i32 {_TOGETHER}}}
"""


def kernel_texts(
    name: str, operator: Operator, variant: tuple[str, ...], target: Target
) -> list[str]:
    """IR of a variant's kernel and, where it has that form, of its columns."""
    kernel = operator.body(name, variant)
    texts = []
    for prefix, form in (("kernel", operator.compute), ("columns", operator.columns)):
        if form is None:
            continue
        inner = f"{prefix}_{kernel}_te"
        view = Kernel(operator, variant, target, columns=prefix == "columns")
        lowered = lower(operator, inner, form, view, target)
        text = without_loader(lowered.text, inner) + entry(
            lowered, inner, f"{prefix}_{kernel}", whole="n" if operator.unary else None
        )
        if operator.kernels:  # one copy for all operators that have it
            text = rewrite(
                text, "an entry", r"^define (?=i32 @)", _ONE_COPY, exactly(1)
            )
        if operator.collapse == "elementwise.broadcast" and target.vector_bits:
            text = _interleaved(text, operator.schedule is not None)
        texts.append(kernel_flags(text, operator, variant, target))
    return texts
