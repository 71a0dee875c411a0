"""Graphs of known sizes: recorded calls, their folding, and the library's bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from fixed_cases import TARGET, misses, module_of, sample
from onnx import TensorProto
from onnx_files import info, model, node
from verification import Cell

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph, Node, Value
from toolchain.graph.record import Place, Recorder
from toolchain.model.elementwise import Strided, merged
from toolchain.model.fixed import OpenError, check_fixed
from toolchain.model.kernels import Batched, Instance
from toolchain.model.recorded import Run, folded, runs_of
from toolchain.profile import ROOT
from toolchain.spec import SpecError
from toolchain.tasks.library import runtime_objects

RUNTIME = list(runtime_objects(ROOT / "build" / TARGET))
CACHE = ROOT / "build" / "cache" / TARGET
FLOAT = ("float32",)
# One case each of the ways in which collapses call kernels: axes that are moved, in
# workspaces; passes of pads; batches that are broadcast; copies of parameters.
CASES = {
    "softmax": ("axis",),
    "reduce_max": ("axes",),
    "cum_sum": ("axis",),
    "pad": ("constant", "reflect"),
    "matmul": ("x",),
    "matmul_integer": ("",),
    "quantize_linear": ("",),
    "layer_normalization": ("",),
    "clip": ("",),
    "where": ("",),
    "pow": ("",),
    "concat": ("",),
    "gather": ("",),
    "slice": ("",),
    "tile": ("",),
    "conv": ("",),
}


def shaped(name: str, *shape: int, dtype: str = "float32") -> Value:
    return Value(name, dtype, shape)


def recorded(
    op: str,
    shapes: Sequence[tuple[int, ...] | None],
    out: tuple[int, ...],
    folder: Path,
    **attributes: Any,
) -> list[Run]:
    inputs = [None if s is None else shaped("x", *s) for s in shapes]
    one = Node(op, inputs, [shaped("y", *out)], attributes, FLOAT)
    return runs_of(one, Recorder([one], RUNTIME, folder).record(one))


def test_the_librarys_bits(tmp_path: Path) -> None:
    """Python tests/fixed_cases.py compares all cases."""
    taken: list[Cell] = []
    for cell in sample(1, list(CASES)):
        size = sum(np.size(x) for x in cell.case.inputs if not isinstance(x, list))
        chosen = [c for c in taken if c.operator == cell.operator]
        several = np.ndim(cell.case.inputs[0]) > 2
        if several and 24 < size < 4000 and len(chosen) < 2:
            taken.append(cell)
    assert {c.operator for c in taken} >= {"softmax", "matmul", "pad", "where"}
    assert not list(misses(taken, tmp_path))


def test_batches_are_one_kernel(tmp_path: Path) -> None:
    shapes = [(2, 3, 4, 5), (1, 3, 5, 6)]
    (run,) = recorded("matmul", shapes, (2, 3, 4, 6), tmp_path)
    assert isinstance(run.kernel, Batched)
    inner = run.kernel.kernel
    assert isinstance(inner, Batched)
    assert (run.kernel.count, run.kernel.strides) == (2, (240, 0, 288))
    assert (inner.count, inner.strides) == (3, (80, 120, 96))


def test_an_absent_input_is_a_constant(tmp_path: Path) -> None:
    shapes = [(2, 4), (4,), None]
    (run,) = recorded("layer_normalization", shapes, (2, 4), tmp_path)
    assert [p.kind for p in run.places] == ["input", "input", "fill", "output"]


def test_moved_rows_take_workspaces(tmp_path: Path) -> None:
    runs = recorded("softmax", [(3, 2)], (3, 2), tmp_path, axis=0)
    kinds = [[p.kind for p in r.places] for r in runs]
    assert kinds == [
        ["input", "workspace"],
        ["workspace", "workspace"],
        ["workspace", "output"],
    ]
    assert isinstance(runs[0].kernel, Strided)


def test_what_the_runtime_refuses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"axis 2 is outside rank 2 of x; use -2\.\.1"):
        recorded("softmax", [(3, 2)], (3, 2), tmp_path, axis=2)


def test_equal_steps_become_loops() -> None:
    kernel = Instance.of("concat", {"n": 1})

    def run(*offsets: int) -> Run:
        places = zip(("input", "output"), offsets, strict=True)
        return Run(kernel, tuple(Place(kind, 0, at) for kind, at in places))

    def steps(found: Sequence[Run]) -> list[tuple[int, ...]]:
        expanded: list[tuple[int, ...]] = []
        for one in found:
            loops, inner = [], one.kernel
            while isinstance(inner, Batched):
                loops.append((inner.count, inner.strides))
                inner = inner.kernel
            for at in product(*(range(n) for n, _ in loops)):
                moves = [
                    sum(i * s[p] for i, (_, s) in zip(at, loops, strict=True))
                    for p in range(2)
                ]
                expanded.append(
                    tuple(p.offset + m for p, m in zip(one.places, moves, strict=True))
                )
        return expanded

    rng = np.random.default_rng(0)
    grid = [
        (100 * a + 7 * c, 64 * b + 4 * c)
        for a in (0, 1)
        for b in (0, 1)
        for c in range(5)
    ]
    odd = [tuple(map(int, rng.integers(0, 3, 2))) for _ in range(30)]
    for offsets in (grid, odd, [*grid, *odd], grid[:1]):
        found = folded(run(*at) for at in offsets)
        assert steps(found) == list(offsets)
    assert len(folded(run(*at) for at in grid)) == 1


@pytest.mark.parametrize(
    ("shapes", "sizes", "axes"),
    [
        ([(2, 3, 4)], (24,), [(0,)]),
        ([(2, 3, 4), (4,)], (6, 4), [(0, 1), (1,)]),
        ([(2, 3, 4), (2, 1, 1)], (2, 12), [(0, 1), (0,)]),
        ([(3, 1), (1, 4), ()], (3, 4), [(0,), (1,), ()]),
        ([(), ()], (), [(), ()]),
    ],
)
def test_axes_that_broadcast_alike_are_one(
    shapes: list[tuple[int, ...]], sizes: tuple[int, ...], axes: list[tuple[int, ...]]
) -> None:
    found = merged(shapes)
    assert (found.sizes, list(found.axes)) == (sizes, axes)


def graph(proto: Any) -> Graph:
    return graph_of(proto, "m", Given(), "file").graph


def test_what_only_a_call_knows_is_left_to_it() -> None:
    open_sizes = model([node("Relu", "x")], [info("x", ("n", 2))])
    with pytest.raises(OpenError, match="x has sizes that only a call knows"):
        check_fixed(graph(open_sizes))
    found = model([node("NonZero", "x")], [info("x", (3,))], [info("y", None, 7)])
    with pytest.raises(OpenError):
        check_fixed(graph(found))


def test_indices_of_the_caller_are_checked(tmp_path: Path) -> None:
    table = {"w": np.arange(12, dtype="f4").reshape(4, 3)}
    proto = model(
        [node("Gather", "w", "i", axis=0)],
        [info("i", (2,), TensorProto.INT64)],
        weights=table,
    )
    run = module_of(graph(proto), tmp_path)
    found = run(np.array([-4, 3], "int64"))
    np.testing.assert_array_equal(found, [[0, 1, 2], [9, 10, 11]])
    with pytest.raises(ops_wasm32.OpsError) as raised:
        run(np.array([0, 4], "int64"))
    assert "i[1] is 4, outside axis 0 of size 4; use -4..3" in str(raised.value)
