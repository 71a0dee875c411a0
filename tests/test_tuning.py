"""Tuning: numbers have ranges; what a profile changes makes again only what uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from project import Project, copy_project

from toolchain import tuning
from toolchain.codegen.operators import load_operator
from toolchain.lower.infer import requirement_texts
from toolchain.profile import KERNELS, ProfileError, load_profile
from toolchain.targets import TARGETS
from toolchain.tuning import TuningError
from toolchain.tuning.table import TABLE

PROFILE = 'operators = ["relu", "softmax", "gemm"]\ntargets = ["simd128", "mvp"]\n'
CHANGED = PROFILE + '[tuning]\ngemm.kc = 64\n[tuning.mvp]\n"gemm.rows" = 4\n'


def test_every_number_is_in_its_range_on_targets_that_there_are() -> None:
    for name, number in TABLE.items():
        assert set(number.targets) <= set(TARGETS), name
        for target in TARGETS:
            assert tuning.check(name, number.of(target)) == number.of(target)
        assert number.meaning
        assert number.measured


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("gemm.kc", 15), ("gemm.kc", 8193), ("gemm.nc", 12), ("gemm.kc", True)),
        *(("gemm.kc", "64"), ("gemm.kc", 64.0), ("view.conflict", 768)),
    ],
)
def test_a_value_outside_the_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(TuningError) as error:
        tuning.check(name, value)
    least, most = TABLE[name].least, TABLE[name].most
    text = str(error.value)
    assert text.startswith(f"{name} is {value!r}; give ")
    assert f"from {least} to {most}" in text


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(TuningError) as error:
        TARGETS["simd128"].tuning("gemm.row")
    text = str(error.value)
    assert text.startswith("gemm.row is unknown; did you mean gemm.rows? use one of ")
    assert text.endswith(", ".join(TABLE))


def test_what_is_asked_for_is_noted() -> None:
    target = TARGETS["relaxed-simd-v8"].with_tuning({"gemm.kc": 64})
    with tuning.noted() as outer:
        assert target.tuning("gemm.rows") == 6
        with tuning.noted() as inner:
            assert target.tuning("gemm.kc") == 64
    assert inner == {"gemm.kc"}
    assert outer == {"gemm.rows", "gemm.kc"}


def test_requirements_ask_too() -> None:
    """What limits a call is made from numbers as well as what computes it."""
    path = KERNELS / "conv.py"
    operator = load_operator(path)
    with tuning.noted() as asked:
        requirement_texts(operator, operator.variants()[0], TARGETS["simd128"])
    assert "conv.small_m" in asked


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tuning = 3", "tuning is 3; give a table, as in\n[tuning]\ngemm.kc = 256"),
        ("[tuning]\ngemm.kd = 3", "[tuning]: gemm.kd is unknown; did you mean gemm."),
        ("[tuning]\ngemm = 3", "[tuning]: gemm is unknown; "),
        ("[tuning]\ngemm.kc = 3", "[tuning]: gemm.kc is 3; give from 16 to 8192"),
        ("[tuning.mvp]\ngemm.kc = 0", "[tuning.mvp]: gemm.kc is 0; give from 16"),
        (
            'targets = ["simd128"]\n[tuning.mvp]\ngemm.kc = 64',
            "tuning.mvp is of a target that is not built; use one of simd128",
        ),
        ("[tuning]\nmvp = 3", "tuning.mvp is 3; give a table"),
    ],
)
def test_a_wrong_profile_says_what_to_write(
    tmp_path: Path, text: str, error: str
) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    with pytest.raises(ProfileError) as refused:
        load_profile(path)
    assert str(refused.value).startswith(f"{path}: {error}")


def test_a_target_comes_before_all(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(
        "[tuning]\ngemm.kc = 64\ngemm.nc = 64\n[tuning.mvp]\ngemm.kc = 32\n"
    )
    found = load_profile(path).tuning
    assert found["mvp"] == {"gemm.kc": 32, "gemm.nc": 64}
    assert found["simd128"] == {"gemm.kc": 64, "gemm.nc": 64}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("tuning") / "project")
    done = project.doit("build", project.begun(PROFILE))
    assert done.code == 0, done.text
    return project


def compiled(project: Project) -> list[str]:
    """Objects that a build makes."""
    done = project.doit("build", "profile=small.toml")
    assert done.code == 0, done.text
    return [name for name in done.ran if name.startswith("compile:")]


def still_right(module: Path) -> None:
    """Products of sizes about the blocks and tiles that were changed."""
    library = ops_wasm32.load(module)
    rng = np.random.default_rng(0)
    for m, k, n in ((1, 64, 9), (3, 63, 8), (13, 129, 31), (65, 200, 71)):
        a, b = (rng.integers(-9, 9, s).astype(np.float32) for s in ((m, k), (k, n)))
        np.testing.assert_array_equal(library.call("gemm", a, b), a @ b)


def test_a_number_makes_again_what_asked_for_it(built: Project) -> None:
    before = built.artifacts()
    built.profile(CHANGED)
    assert compiled(built) == ["compile:mvp:gemm", "compile:simd128:gemm"]
    after = built.artifacts()
    same = {name for name in before if before[name] == after[name]}
    assert "simd128/obj/gemm.o" not in same
    assert "mvp/obj/gemm.o" not in same
    assert {"simd128/obj/softmax.o", "mvp/obj/relu.o"} <= same
    for target in ("simd128", "mvp"):
        still_right(built.folder / "build/profiles/small" / target / "ops_wasm32.wasm")
    built.profile(PROFILE)
    assert compiled(built) == ["compile:mvp:gemm", "compile:simd128:gemm"]
    assert built.artifacts() == before


def test_the_table_makes_again_what_asked_for_it(built: Project) -> None:
    """An edit of a default counts as a profile does, and its reason does not."""
    file = "toolchain/tuning/table.py"
    path = built.folder / file
    text = path.read_text()
    try:
        built.edit(file, '"as gemm.i32_rows"', '"as those of int32"')
        built.edit(file, "*(512, 1, 1 << 14,", "*(256, 1, 1 << 14,")
        assert compiled(built) == ["compile:mvp:softmax", "compile:simd128:softmax"]
    finally:
        path.write_text(text)
    assert compiled(built) == ["compile:mvp:softmax", "compile:simd128:softmax"]
