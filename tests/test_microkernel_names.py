"""Names of micro-kernels: each that a kernel asks for has a suite, no other is one."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from microkernels import Suite

from toolchain.micro.registry import emitters, micro_kernel, source
from toolchain.profile import ROOT, load_profile
from toolchain.spec import SpecError
from toolchain.spec.microkernels import GEMM, PACK, POOL, SLIDE, TOUCH, Form, Value
from toolchain.targets import TARGETS

FAMILIES = sorted({e.__module__.rpartition(".")[2] for e in emitters().values()})
FORMS = {form.shown: form for form in emitters()}
CALLERS = sorted(
    path
    for folder in ("kernels", "toolchain/spec", "toolchain/model")
    for path in (ROOT / folder).rglob("*.py")
)
GRAMMAR = ROOT / "toolchain" / "spec" / "microkernels.py"
_DEFINED = re.compile(r"^define .*@\"?(micro_\w+)\"?\(", re.M)


@cache
def covered(target: str) -> frozenset[str]:
    """Functions of all the names that suites enumerate."""
    found: set[str] = set()
    for family in FAMILIES:
        for name in suite_of(family).names(target):
            found |= set(_DEFINED.findall(micro_kernel(name, TARGETS[target])))
    return frozenset(found)


def suite_of(family: str) -> Suite:
    suite: Suite = importlib.import_module(f"test_microkernel_{family}").SUITE
    return suite


@pytest.mark.parametrize("shown", FORMS)
def test_the_suite_of_a_form_is_that_of_its_family(shown: str) -> None:
    form = FORMS[shown]
    suite = suite_of(emitters()[form].__module__.rpartition(".")[2])
    assert any(form.parse(name) is not None for name in suite.simd)


def test_each_name_of_a_suite_is_built_and_parsed_by_one_form() -> None:
    names = {n for f in FAMILIES for n in (*suite_of(f).simd, *suite_of(f).scalar)}
    assert len(names) > 80
    for name in names:
        found = [(f, v) for f in emitters() if (v := f.parse(name)) is not None]
        ((form, values),) = found
        assert form(*values) == name
        emitter = emitters()[form]
        assert source(name) == f"{emitter.__module__}:{emitter.__name__}"


@pytest.mark.parametrize(
    ("form", "values", "name"),
    [
        (GEMM, ("f32", "load", 2, 8, False), "micro_gemm_f32_load_2x8"),
        (GEMM, ("f32", "rows", 1, 24, True), "micro_gemm_f32_rows_1x24_dense"),
        (POOL, ("sum", "f32"), "micro_pool_sum_f32"),
        (SLIDE, (2,), "micro_slide_2"),
        (TOUCH, (), "micro_touch"),
    ],
)
def test_a_form_builds_and_parses(
    form: Form, values: tuple[Value, ...], name: str
) -> None:
    assert form(*values) == name
    assert form.parse(name) == values


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (GEMM, ("f64", "load", 2, 8, False)),
        (GEMM, ("f32", "load", -2, 8, False)),
        (GEMM, ("f32", "load", 2, 8)),
        (POOL, ("sum", "i8")),
        (SLIDE, ("1|2",)),
        (PACK, (3, 8)),
    ],
)
def test_a_form_refuses_other_values(form: Form, values: tuple[Value, ...]) -> None:
    with pytest.raises(SpecError) as error:
        form(*values)
    assert form.shown in str(error.value)
    assert repr(values[0]) in str(error.value)


@pytest.mark.parametrize("name", ["micro_gemm_f32_load_02x8", "micro_touch_", "touch"])
def test_a_name_has_one_spelling(name: str) -> None:
    assert [form.shown for form in emitters() if form.parse(name) is not None] == []


def linked(folder: Path) -> set[str]:
    """Names in the symbol tables of a folder's objects."""
    texts = [path.read_bytes() for path in folder.glob("*.o")]
    return {n.decode() for text in texts for n in re.findall(rb"micro_\w+", text)}


@pytest.mark.parametrize("target", TARGETS)
def test_every_micro_kernel_of_the_library_has_a_suite(target: str) -> None:
    found = linked(load_profile(None).folder / target / "obj")
    assert len(found) > 50, f"{target} is not built; run doit build"
    assert found - covered(target) == set()


@pytest.mark.parametrize("target", TARGETS)
def test_every_micro_kernel_of_models_has_a_suite(target: str) -> None:
    for name in linked(load_profile(None).folder / "cache" / target) - covered(target):
        # The cache may hold objects of earlier sources, with names that are no more.
        with pytest.raises(SpecError):
            micro_kernel(name, TARGETS[target])


def names_in(path: Path) -> Iterator[str]:
    """Names of micro-kernels that a file spells."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\bmicro_\w+", node.value)


def test_names_are_spelled_in_one_place() -> None:
    assert len(CALLERS) > 50
    assert GRAMMAR in CALLERS
    spelled = {path for path in CALLERS if list(names_in(path))}
    assert spelled == {GRAMMAR}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("micro_unknown_4x8", "use micro_<columns|copy|"),
        ("micro_gemm_f64_load_2x8", "use micro_gemm_<f32|i32>_<splat|"),
        ("micro_gemm_f32_load_0x8", "it has no rows; use 1 or more"),
        ("micro_gemm_f32_load_2x0", "columns must be 4, 8 or a multiple of 8"),
        ("micro_gemm_f32_load_2x6", "columns must be 4, 8 or a multiple of 8"),
        ("micro_gemm_f32_load_2x12", "columns must be 4, 8 or a multiple of 8"),
        ("micro_gemm_f32_shuffle_6x8", "use a multiple of 4"),
        ("micro_gemm_f32_rows_1x8", "use micro_gemm_f32_rows_1x8_dense"),
        ("micro_gemm_i32_rows_1x8_dense", "use micro_gemm_f32_rows_1x8_dense"),
        ("micro_pack_4_3", "a panel of 3 has no 4 rows; use fewer"),
        ("micro_pack_3_8", "micro_pack_<1|2|4>_<width>"),
        ("micro_splat_0", "use micro_splat_<rows> with 1 or more"),
        ("micro_fold_4x6", "use a multiple of 4"),
        ("micro_fold_4x0", "use a multiple of 4"),
        ("micro_fold_0x8", "it has no rows; use 1 or more"),
        ("micro_fold_4", "use micro_fold_<rows>x<columns>"),
        ("micro_dot_tile_4x6", "columns must be a power of two; use 4 or more"),
        ("micro_dot_tile_0x8", "it has no rows; use 1 or more"),
        ("micro_dot_panel_4x8", "use micro_dot_<rows|columns|tile>_<rows>x<columns>"),
        ("micro_slide_3", "use micro_slide_<1|2|even>"),
        ("micro_pool_sum_i8", "use micro_pool_max_<f32|i8|u8> or micro_pool_sum_f32"),
        ("micro_halve_sum", "use micro_halve_max"),
        ("micro_double_columns", "use micro_double_rows"),
        ("micro_rows_min_i32", "micro_rows_<squares|deviations|min>_f32"),
        ("micro_columns_squares_i8", "<squares|deviations|min>_f32"),
        ("micro_arg_min_i8", "micro_arg_min_f32"),
        ("micro_arg_first_max_i32", "micro_arg_first_<max|min>_f32"),
        ("micro_transpose_32_4x5", "use 1 to 4 columns"),
        ("micro_transpose_32_4x0", "use 1 to 4 columns"),
        ("micro_transpose_32_0x4", "use 1 to 4 rows, or a multiple of 4"),
        ("micro_transpose_32_6x4", "use 1 to 4 rows, or a multiple of 4"),
        ("micro_transpose_24_4x4", "use micro_transpose_<8|16|32|64>"),
        ("micro_wide_max", "use micro_wide_<sum|product|norm>"),
        ("micro_winograd_weights", "use micro_winograd_<input|output>"),
    ],
)
def test_other_names_are_refused(name: str, advice: str) -> None:
    with pytest.raises(SpecError, match="micro-kernel") as error:
        micro_kernel(name, TARGETS["simd128"])
    assert repr(name) in str(error.value)
    assert advice in str(error.value)
