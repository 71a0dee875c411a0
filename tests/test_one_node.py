"""Models of one node give the bits that the library gives.

The cases with special values, and one more of each kernel; `doit one_node` runs all.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from one_node import (
    KNOWN,
    OPEN,
    Batch,
    batches,
    difference,
    misses,
    results_of,
    wanted_cells,
)
from one_node_forms import FORMS, FUSED, NO_NODE

from toolchain.profile import ROOT, load_profile

BUILD = ROOT / "build"


@pytest.mark.parametrize("operator", sorted(FORMS))
def test_models_give_the_bits_of_the_library(operator: str) -> None:
    pairs = ((c, results_of(c, BUILD)) for c in wanted_cells(operator, few=True))
    assert [m for batch in batches(pairs) for m in misses(batch, BUILD)] == []


def test_parts_of_every_width_are_joined() -> None:
    """Rows of one element, too: copies of a column, a pitch apart."""
    pairs = ((c, results_of(c, BUILD)) for c in wanted_cells("concat"))
    assert [m for batch in batches(pairs) for m in misses(batch, BUILD)] == []


@pytest.mark.parametrize(
    ("target", "operator"),
    [
        ("mvp", "softmax"),
        ("mvp", "reduce_l2"),
        ("relaxed-simd", "matmul"),
        ("relaxed-simd", "exp"),
        ("relaxed-simd-v8", "rms_normalization"),
    ],
)
def test_other_targets_do_too(target: str, operator: str) -> None:
    cells = wanted_cells(operator, few=True, target=target)
    pairs = ((c, results_of(c, BUILD)) for c in cells)
    assert [m for batch in batches(pairs) for m in misses(batch, BUILD)] == []


@pytest.mark.parametrize(
    ("target", "operator"),
    [
        *(("simd128", o) for o in ("cast", "clip", "gather", "pad", "slice", "where")),
        *(("relaxed-simd", o) for o in ("conv", "gemm", "matmul", "resize")),
        *(("mvp", o) for o in ("arg_max", "quantize_linear", "reduce_max")),
    ],
)
@pytest.mark.parametrize("path", [KNOWN, OPEN])
def test_models_of_any_shape_do_too(path: str, target: str, operator: str) -> None:
    """On every target, operators of FUSED among them."""
    cells = wanted_cells(operator, few=True, target=target)
    pairs = ((c, results_of(c, BUILD)) for c in cells)
    assert [m for b in batches(pairs) for m in misses(b, BUILD, path)] == []


@pytest.mark.parametrize(("operator", "case"), FUSED.items())
def test_fused_operators_are_within_their_bounds(
    operator: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case has other bits than the library on relaxed-simd, and is near."""
    cells = wanted_cells(operator, target="relaxed-simd")
    cell = next(c for c in cells if c.case.name == case)
    (batch,) = batches([(cell, results_of(cell, BUILD))])
    assert misses(batch, BUILD) == []
    monkeypatch.delitem(FUSED, operator)
    assert len(misses(batch, BUILD)) == 1


def test_a_document_names_fused_operators() -> None:
    text = (ROOT / "docs" / "determinism.md").read_text()
    (named,) = re.findall(r"with constants for sizes; (.*?) do differ", text)
    assert sorted(FUSED) == re.findall(r"`(\w+)`", named)


def test_each_operator_has_a_node_or_a_reason() -> None:
    assert sorted([*FORMS, *NO_NODE]) == sorted(load_profile(None).operators)


def test_a_difference_is_seen() -> None:
    """Relu cases whose inputs have another sign than the library's had."""
    (cell, *_) = [c for c in wanted_cells("relu") if c.case.name == "special"]
    results = results_of(cell, BUILD)
    turned = replace(cell.case, inputs=tuple(-v for v in cell.case.inputs))
    batch = Batch()
    batch.add(replace(cell, case=turned), results)
    batch.cells[0] = cell
    assert len(misses(batch, BUILD)) == 1


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.zeros(1, "f4"), -np.zeros(1, "f4")),
        (np.full(1, np.nan, "f4"), -np.full(1, np.nan, "f4")),
        (np.ones(1, "f4"), np.ones(1, "i4")),
        (np.ones(1, "f4"), np.ones((), "f4")),
        (np.array([1, 2], "i1"), np.array([1, 3], "i1")),
    ],
)
def test_bits_are_compared(got: np.ndarray, want: np.ndarray) -> None:
    assert difference(got, want) != ""
    assert difference(want, want) == ""
