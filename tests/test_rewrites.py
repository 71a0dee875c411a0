"""What is replaced in IR text is found as often as it must be, or the build fails."""

from __future__ import annotations

import re
from functools import cache

import pytest

from toolchain.codegen.constants import hide_constants
from toolchain.codegen.kernel_ir import flagged, kernel_flags
from toolchain.codegen.operators import load_operator
from toolchain.lower.rewrite import SOME, Times, exactly, only, rewrite
from toolchain.lower.te import Kernel, Lowered, entry, lower, without_loader
from toolchain.profile import full_profile
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

NAME = "kernel_te"


@cache
def written(operator: str, target: str = "simd128") -> Lowered:
    """TVM's text of an operator."""
    found = load_operator(full_profile().operators[operator])
    assert found.compute
    kernel = Kernel(found, found.variants()[0], TARGETS[target])
    return lower(found, NAME, found.compute, kernel, TARGETS[target])


@pytest.mark.parametrize("target", ["mvp", "simd128"])
@pytest.mark.parametrize("operator", ["add", "softmax", "expand", "resize"])
def test_the_loader_is_taken_out(operator: str, target: str) -> None:
    text = without_loader(written(operator, target).text, NAME)
    for word in (
        *("global_ctors", "dllexport", "dso_local", "noinline", "target-features"),
        *("align 64 %", "@llvm.assume(i1 true)", "!dbg", "#dbg_", "!prof"),
    ):
        assert word not in text


# A word of TVM's text, and what is said where it is written otherwise. The operator's
# planes are transposed in a workspace.
SPOILT = (
    ("@llvm.global_ctors", "@llvm.ctors", "a constructor 0 times, not 1"),
    ("linkonce dllexport global ptr null", "external global ptr", "of the workspaces"),
    ("@__TVMFFIFunctionCall = linkonce", "@__TVMFFIFunctionCall = weak", "6 times"),
    ("define weak dllexport", "define weak_odr dllexport", "exported function 1 times"),
    (
        "define weak dso_local",
        "define weak_odr",
        "conversion of float16 0 times, not 2",
    ),
    ("noinline", "optnone", "noinline 0 times, not 2"),
    ('"target-cpu"', '"cpu"', "a CPU 0 times, not 3"),
    ('"target-features"=', '"x" "target-features"=', "features of no CPU 3 times"),
    ("noalias align 64 %", "noalias align 32 %", "an aligned parameter 0 times, not 2"),
    ('[ "align"', '[ "aligned"', "an assumed alignment 0 times, not 4 or more"),
    ("!dbg", "!debug", "a position 0 times, not 1 or more"),
    ("!prof", "!weights", "a branch's weight 0 times, not 1 or more"),
    ("!llvm.dbg.cu", "!llvm.dbg.units", "metadata 1 times, not 2"),
    ("#dbg_", "#debug_", "a variable's position 0 times"),
    (f"@{NAME}_compute_(", f"@{NAME}_body_(", f"{NAME}_compute_ 0 times, not 1"),
)


@pytest.mark.parametrize(("word", "other", "text"), SPOILT)
def test_text_that_is_written_otherwise_fails(word: str, other: str, text: str) -> None:
    lowered = written("expand")
    assert word in lowered.text
    spoilt = lowered.text.replace(word, other)
    with pytest.raises(SpecError, match=re.escape(text)):
        without_loader(spoilt, NAME)


def test_a_tensor_that_is_only_pointed_at_is_not_aligned() -> None:
    """An instance's linear resizing writes through pointers alone."""
    names = ("mode", "sizes_0", "sizes_1", "N", "C", "H", "W")
    known = dict(zip(names, (1, 8, 8, 1, 2, 4, 4), strict=True))
    known |= {"coordinate_transformation_mode": 0, "nearest_mode": 0}
    found = load_operator(full_profile().operators["resize"])
    assert found.compute
    kernel = Kernel(found, found.variants()[0], TARGETS["simd128"], constants=known)
    text = lower(found, NAME, found.compute, kernel, TARGETS["simd128"]).text
    assert "ptr noalias align 64 %x, ptr noalias %out" in text
    assert "align 64 %" not in without_loader(text, NAME)


def test_a_kernel_has_one_entry() -> None:
    lowered = written("add")
    assert "@kernel_add(ptr noalias" in entry(lowered, NAME, "kernel_add")
    twice = Lowered(lowered.text * 2, lowered.slots)
    with pytest.raises(SpecError, match=f"{NAME}_compute_ 2 times, not 1"):
        entry(twice, NAME, "kernel_add")


def test_flags() -> None:
    text = "  %0 = fadd float %a, %b\n  %1 = fmul float %0, %b\n"
    assert 2 == flagged(text, "contract", ("fadd", "fsub", "fmul")).count("contract")
    assert 1 == flagged(text, "reassoc", ("fadd",)).count("reassoc")
    with pytest.raises(SpecError, match="an instruction for contract 1 times, not 2"):
        flagged(text.replace("= fmul", "=  fmul"), "contract", ("fadd", "fmul"))


def test_integers_wrap() -> None:
    operator = load_operator(full_profile().operators["add"])
    text, target = written("add").text, TARGETS["simd128"]
    wrapped = kernel_flags(text, operator, ("int32",), target)
    assert not re.search(r"= (add|mul) n[us]w", wrapped)
    with pytest.raises(SpecError, match="an integer flag more"):
        kernel_flags(text + "\n%z =  add nsw i32 1, 2", operator, ("int32",), target)
    with pytest.raises(SpecError, match="an integer flag 0 times, not 1 or more"):
        kernel_flags("", operator, ("int32",), target)


def test_constants_of_loops() -> None:
    text = "define void @f() {\nentry:\n  br label %loop\nloop:\n"
    text += "  %a = fadd <4 x float> %x, splat (float 2.0)\n  br label %loop\n}\n"
    assert "fadd <4 x float> %x, %constant.0" in hide_constants(text)
    with pytest.raises(SpecError, match="a constant 0 times, not 1"):
        hide_constants(text.replace("(float 2.0)", "(<2 x float> two)"))
    with pytest.raises(SpecError, match="a function 0 times, not 1"):
        hide_constants(text.replace("\n}", "\n }"))


def test_how_often() -> None:
    assert "bb" == rewrite("aa", "a", "a", "b", exactly(2))
    with pytest.raises(SpecError, match="has a 2 times, not 1:"):
        rewrite("aa", "a", "a", "b", exactly(1))
    with pytest.raises(SpecError, match="has x 0 times, not 1 or more"):
        rewrite("aa", "x", "x", "b", SOME)
    with pytest.raises(SpecError, match="has a 2 times, not 0 to 1"):
        rewrite("aa", "a", "a", "b", Times(0, 1))
    with pytest.raises(SpecError, match="has a 2 times, not 1"):
        only("aa", "a", "a")
