"""Operators that models alone link: a sample of their cases, and what they refuse.

`doit test profile=tests/graph_operators.toml`, after a build of that profile, runs all
cases for all targets.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from linking import link_texts
from verification import cells, check

from toolchain.codegen.descriptor import table
from toolchain.codegen.objects import compile_object
from toolchain.codegen.operators import load_operator
from toolchain.codegen.room import Room, room
from toolchain.profile import ROOT, Profile, load_profile
from toolchain.spec import SpecError

FILE = ROOT / "tests" / "graph_operators.toml"
FOLDER = ROOT / "toolchain" / "graph" / "operators"
TARGET = "simd128"
EACH = 23  # of the cases of the sample
X = np.arange(12, dtype="f4").reshape(3, 4)
IMAGE = np.ones((1, 2, 4, 5), "f4")
LSTM = (np.ones((3, 2, 4), "f4"), np.ones((1, 8, 4), "f4"), np.ones((1, 8, 2), "f4"))
NONE = (None,) * 5


def ints(*values: Any) -> Any:
    return np.array(values, "int64")


# An operator, inputs, attributes, and what the text of the error holds.
REFUSED: tuple[tuple[str, tuple[Any, ...], dict[str, Any], str], ...] = (
    ("range", (), {"limit": 5, "delta": 0}, "delta is 0; use a step"),
    ("range", (), {"limit": 2**40}, "out has size 1099511627776 on axis 0"),
    ("range_of_floats", (), {"limit": 5, "delta": 0}, "has no number of steps"),
    ("range_of_floats", (), {"limit": np.nan}, "has no number of steps"),
    (
        "gather_elements",
        (X, ints([0, 3, 0, 0])),
        {},
        "indices[1] is 3, outside axis 0 of size 3; use -3..2",
    ),
    ("gather_elements", (X, ints(0)), {}, "indices has rank 1 but must have rank 2"),
    ("gather_elements", (X, ints([0] * 5)), {}, "axis 1 of indices has size 5, more"),
    (
        "gather_elements",
        (X, ints([0])),
        {"axis": 2},
        "axis 2 is outside rank 2 of data",
    ),
    (
        "gather_nd",
        (X, ints([0, 1], [2, 4])),
        {},
        "indices[3] is 4, outside axis 1 of size 4; use -4..3",
    ),
    ("gather_nd", (X, ints([0, 1, 2])), {}, "indices has tuples of 3 for 2 axes"),
    ("gather_nd", (X, ints([0, 1])), {"batch_dims": 1}, "axis 0 of indices has size 1"),
    ("gather_nd", (X, ints([0, 1])), {"batch_dims": 2}, "batch_dims 2 must be at most"),
    (
        "scatter_elements",
        (X, ints([0, -4]), np.ones((1, 2), "f4")),
        {},
        "indices[1] is -4, outside axis 0 of size 3; use -3..2",
    ),
    ("scatter_elements", (X, ints([0]), X), {}, "indices and updates must have one"),
    ("scatter_nd", (X, ints([0], [3]), X[:2]), {}, "indices[1] is 3, outside axis 0"),
    ("scatter_nd", (X, ints([0], [1]), X), {}, "updates must have indices' axes"),
    ("top_k", (X,), {"k": 5}, "k is 5, more than axis 1 has; use 0..4"),
    ("trilu", (X[0],), {}, "x has rank 1 but must have 2 or more"),
    ("eye_like", (X[0],), {"to": "int8"}, "x has rank 1 but must have 2"),
    ("one_hot", (ints(0), X), {"depth": 3}, "values must have shape [2]: off, on"),
    (
        "one_hot",
        (ints(0), X[0, :2]),
        {"depth": 3, "axis": 2},
        "axis 2 is outside rank 2 of the result; use -2..1",
    ),
    ("compress", (X, X > 2), {}, "condition has rank 2 but must have rank 1"),
    ("compress", (X, X[0] > 2), {"axis": [2]}, "axis 2 is outside rank 2 of x"),
    (
        "reverse_sequence",
        (X, ints(0, 1, 2, 4)),
        {},
        "sequence_lens[3] is 4, outside the 3 steps of x; use 0..3",
    ),
    ("reverse_sequence", (X, ints(0)), {}, "sequence_lens must have shape [4]"),
    ("reverse_sequence", (X, ints(0)), {"time_axis": 1}, "are both 1; use 0 and 1"),
    ("unique", (X,), {"axis": [-3]}, "axis -3 is outside rank 2 of x; use -2..1"),
    (
        "lstm",
        (*LSTM, None, np.array([1, 4], "i4"), *NONE[:3]),
        {},
        "sequence_lens[1] is 4, outside the 3 steps of x; use 0..3",
    ),
    (
        "lstm",
        (*LSTM[:2], LSTM[0], *NONE),
        {},
        "axis 1 of r has size 2, but must have 4",
    ),
    ("lstm", (LSTM[0], X, LSTM[2], *NONE), {}, "w has rank 2 but must have rank 3"),
    ("lstm", (*LSTM, X, *NONE[:4]), {}, "b has shape [3,4] but must be [1,16]"),
    ("lstm", (*LSTM, *NONE), {"activations": [0] * 6}, "has 6 activations; give 3"),
    (
        "max_pool_with_indices",
        (IMAGE,),
        {"kernel_shape": [5, 1]},
        "a window is longer than axis 2 of x with its pads",
    ),
    (
        "max_pool_with_indices",
        (IMAGE,),
        {"kernel_shape": [2]},
        "has lists for 1 axes but x has 2 spatial ones",
    ),
    (
        "max_unpool",
        (IMAGE[:, :1, :1, :2], ints([[[0, 4]]])),
        {"kernel_shape": [1, 2], "strides": [1, 2]},
        "indices[1] is 4, outside the 4 elements that were pooled; use 0..3",
    ),
    (
        "roi_align",
        (IMAGE, X[:2], ints(0, 1)),
        {},
        "batch_indices[1] is 1, outside the 1 images of x; use 0..0",
    ),
    ("grid_sample", (IMAGE, X), {}, "grid must be [N, places..., 2]"),
    (
        "conv_transpose",
        (IMAGE, np.ones((3, 1, 2, 2), "f4"), None),
        {},
        "axis 0 of w has size 3, but x has 2 channels in 1 groups",
    ),
    (
        "conv_transpose",
        (IMAGE, np.ones((2, 1, 2, 2), "f4"), None),
        {"pads": [3, 0, 3, 0]},
        "axis 2 of out would have size -1; use fewer pads",
    ),
    ("conv_3d", (IMAGE, IMAGE, None), {}, "x and w must have rank 5"),
    (
        "conv_3d",
        (IMAGE[None], np.ones((1, 1, 3, 1, 1), "f4"), None),
        {},
        "w is longer than axis 2 of x with its pads",
    ),
    (
        "conv_3d",  # the product of its sizes leaves 64 bits
        (np.ones((1,) * 5, "f4"), np.ones((1,) * 5, "f4"), None),
        {"pads": [1 << 20] * 6, "strides": [1 << 20] * 3},
        "no memory for a workspace of",
    ),
    ("det", (X,), {}, "x must be [..., M, M], of square matrices"),
    ("dft", (X,), {}, "the last of size 1 (real) or 2 (complex)"),
    ("dft", (X[..., None],), {"axis": 2}, "axis 2 is no axis of a signal"),
    ("stft", (X[..., None], None), {"frame_step": 1}, "frames have 0 elements"),
    ("multinomial", (X[0],), {"to": "int32"}, "x must be [N, classes]"),
    ("non_max_suppression", (X, X), {}, "boxes must be [N, boxes, 4]"),
)
SAMPLE = sorted({name for name, *_ in REFUSED} | {"non_zero", "random_uniform", "tan"})


@pytest.fixture(scope="module")
def profile() -> Profile:
    whole = load_profile(FILE)
    files = {name: FOLDER / f"{name}.py" for name in SAMPLE}
    return replace(whole, operators=files, targets=(TARGET,))


@pytest.fixture(scope="module")
def library(
    profile: Profile, tmp_path_factory: pytest.TempPathFactory
) -> ops_wasm32.Library:
    folder = tmp_path_factory.mktemp("graph_operators")
    members: list[Path] = []
    kernels: list[str] = []
    rooms: list[Room] = []
    for name, path in profile.operators.items():
        data, description = compile_object(path, TARGET)
        members.append(folder / f"{name}.o")
        members[-1].write_bytes(data)
        kernels += description["kernels"]
        rooms.append(Room(**description["room"]))
    texts = [table(kernels), room(rooms)]
    return ops_wasm32.load(link_texts(folder, texts, members, TARGET))


def test_cases_match_their_references(
    library: ops_wasm32.Library, profile: Profile
) -> None:
    seen = set()
    for i, cell in enumerate(cells(profile)):
        if i % EACH and cell.operator in seen:
            continue
        seen.add(cell.operator)
        given = cell.case.inputs, cell.case.attributes
        result = library.call(cell.kernel, *given[0], **given[1])
        results = list(result) if isinstance(result, tuple) else [result]
        check(cell, load_operator(profile.operators[cell.operator]), results)
    assert seen == set(profile.operators)


@pytest.mark.parametrize(
    ("name", "inputs", "given", "text"),
    REFUSED,
    ids=[f"{r[0]}-{r[3]}" for r in REFUSED],
)
def test_what_is_refused(
    library: ops_wasm32.Library,
    name: str,
    inputs: tuple[Any, ...],
    given: dict[str, Any],
    text: str,
) -> None:
    name = "range_int64" if name == "range" else name
    with pytest.raises(ops_wasm32.OpsError) as raised:
        library.call(name, *inputs, **given)
    assert str(raised.value).partition(": ")[0].startswith(name)
    assert text in str(raised.value)


def test_a_late_output_has_the_largest_size_before_the_call(
    library: ops_wasm32.Library,
) -> None:
    x = np.array([0, 3, 0, 4], "f4")
    assert library.infer("non_zero", x) == [((1, 4), "int64")]
    found = library.call("non_zero", x)
    np.testing.assert_array_equal(found, [[1, 3]])
    assert library.infer("non_zero", x) == [((1, 4), "int64")]


def test_steps_without_sequences_take_no_time(library: ops_wasm32.Library) -> None:
    x = np.zeros((2**31 - 1, 0, 4), "f4")
    y, *_ = library.call("lstm", x, *LSTM[1:], *NONE)
    assert y.shape == (2**31 - 1, 1, 0, 2)


def author_error(tmp_path: Path, text: str, source: str | None = None) -> str:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""f"""\nfrom toolchain.spec import Input, Operator, Output\n'
        f'KERNEL = Operator(inputs=(Input("x", ""),), dtypes=("int32", "int8"), '
        f"reference=None, cases=None, {text})\n"
    )
    if source is not None:
        path.with_suffix(".c").write_text(source)
    with pytest.raises(SpecError) as raised:
        compile_object(path, TARGET)
    return str(raised.value)


def test_an_own_collapse_needs_a_source(tmp_path: Path) -> None:
    said = author_error(tmp_path, 'collapse="own.plain", compute=abs')
    assert "own.plain needs source, a C file with its collapse" in said


def test_late_outputs_need_a_collapse_of_their_own(tmp_path: Path) -> None:
    text = 'collapse="exact.plain", compute=abs, outputs=(Output(late=True),)'
    assert "output out is late, but exact.plain knows all" in author_error(
        tmp_path, text
    )


def test_kernels_are_there_for_all_variants_or_none(tmp_path: Path) -> None:
    source = (
        '#include "call.h"\n'
        "int32_t kernel_mine_int32(const ops_slot *slots) { return !slots; }\n"
        "const ops_collapse ops_collapse_mine = {0, 0, 0};\n"
    )
    text = 'collapse="own.plain", source="mine.c"'
    said = author_error(tmp_path, text, source)
    assert "mine.c lacks kernel_mine_int8, and has kernel_mine_int32" in said
