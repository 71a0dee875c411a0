"""Nodes that give nothing, and nodes that cannot be compiled: results, and texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_inside import Net, run

from toolchain.model.elementwise import Elementwise
from toolchain.model.kernels import Instance
from toolchain.spec import SpecError


def _net(
    op: str,
    shape: tuple[int, ...],
    opset: int,
    weights: Sequence[int] | None,
    given: dict[str, Any],
) -> Net:
    net = Net(opset=opset)
    net.inputs["x"] = np.ones(shape, "f4")
    more = [] if weights is None else [net.constant(np.ones(weights, "f4"), "w")]
    net.nodes.append(helper.make_node(op, ["x", *more], ["y"], name="it", **given))
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return net


@pytest.mark.parametrize(
    ("op", "shape", "opset", "given", "want"),
    [
        ("Softmax", (2, 0), 12, {"axis": 1}, (2, 0)),
        ("Softmax", (2, 0, 3), 13, {"axis": 1}, (2, 0, 3)),
        ("LogSoftmax", (2, 0), 12, {"axis": 1}, (2, 0)),
        ("Hardmax", (2, 0, 3), 13, {"axis": 1}, (2, 0, 3)),
        ("MaxPool", (1, 1, 2, 8), 22, {"kernel_shape": [3, 3]}, (1, 1, 0, 6)),
        ("AveragePool", (0, 1, 4, 8), 22, {"kernel_shape": [3, 3]}, (0, 1, 2, 6)),
        ("Relu", (0,), 22, {}, (0,)),
    ],
)
def test_results_without_elements(
    op: str,
    shape: tuple[int, ...],
    opset: int,
    given: dict[str, Any],
    want: tuple[int, ...],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    net = _net(op, shape, opset, None, given)
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    assert found.shape == want


WINDOW = r"node it: its window takes 3 of axis 2 of \[1, 1, {0}, 8\], which has {0} "


@pytest.mark.parametrize(
    ("op", "size", "weights", "given"),
    [
        ("Conv", 1, (1, 1, 3, 3), {}),
        ("MaxPool", 1, None, {"kernel_shape": [3, 3]}),
        ("AveragePool", 1, None, {"kernel_shape": [3, 3]}),
        ("MaxPool", 2, None, {"kernel_shape": [3, 3], "strides": [2, 1]}),
    ],
)
def test_windows_that_do_not_fit(
    op: str,
    size: int,
    weights: Sequence[int] | None,
    given: dict[str, Any],
    tmp_path: Path,
) -> None:
    net = _net(op, (1, 1, size, 8), 22, weights, given)
    with pytest.raises(SpecError, match=WINDOW.format(size)):
        run(net, tmp_path, None)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_a_range_without_steps(dtype: str, tmp_path: Path) -> None:
    net = _net("Relu", (1,), 22, None, {})
    places = [net.constant(np.array(v, dtype), f"r{v}") for v in (1, 5, 0)]
    net.nodes.append(helper.make_node("Range", places, ["r"], name="steps"))
    with pytest.raises(SpecError, match=r"node steps.*: its delta is 0"):
        run(net, tmp_path, None)


def _loop(trips: int, condition: str) -> Net:
    def value(name: str, number: int, shape: list[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, number, shape)

    state = [value("c", TensorProto.BOOL, []), value("s", TensorProto.FLOAT, [2])]
    nodes = [
        helper.make_node("Identity", ["c"], ["kept"]),
        helper.make_node("Less", ["i", "last"], ["less"]),
        helper.make_node("Add", ["s", "s"], ["twice"]),
    ]
    results = [
        value(condition, TensorProto.BOOL, []),
        value("twice", TensorProto.FLOAT, [2]),
    ]
    body = helper.make_graph(
        nodes, "body", [value("i", TensorProto.INT64, []), *state], results
    )
    net = Net()
    net.inputs["x"] = np.ones(2, "f4")
    net.constant(np.array(2, "int64"), "last")
    given = [net.constant(np.array(trips, "int64"), "n")]
    given += [net.constant(np.array(True), "start"), "x"]
    net.nodes.append(helper.make_node("Loop", given, ["y"], name="long", body=body))
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return net


def test_a_long_loop_is_refused_at_once(tmp_path: Path) -> None:
    """One step takes about 3 ms, and the text would come after 4096 of them."""
    run(_loop(1, "kept"), tmp_path, None)  # TVM is imported
    start = time.perf_counter()
    with pytest.raises(SpecError, match=r"node long: it runs 1000000 times; at most"):
        run(_loop(10**6, "kept"), tmp_path, None)
    assert time.perf_counter() - start < 5


def test_a_loop_that_ends_itself(tmp_path: Path) -> None:
    (found,) = run(_loop(2**63 - 1, "less"), tmp_path, None)
    assert found.tolist() == [8.0, 8.0]


def test_a_window_of_no_place(tmp_path: Path) -> None:
    """A window of 3 over 2: the standard says that there are 0."""
    (found,) = run(_net("Conv", (1, 1, 2, 8), 22, (1, 1, 3, 3), {}), tmp_path, None)
    assert found.shape == (1, 1, 0, 6)


def _failing(*_: object) -> list[str]:
    raise SpecError("no text")


def test_kernels_that_fail_name_their_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes that are one kernel, which the last names, and one of the library."""
    net = Net()
    net.inputs["x"] = np.ones((7, 41), "f4")
    for op, source, result in (
        ("Neg", "x", "a"),
        ("Floor", "a", "b"),
        ("Softmax", "b", "y"),
    ):
        node = helper.make_node(op, [source], [result], name=f"the_{op}")
        net.nodes.append(node)
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    for kind in (Elementwise, Instance):
        monkeypatch.setattr(kind, "texts", _failing)
    with pytest.raises(SpecError) as failed:
        run(net, tmp_path, None)
    for text in (
        "Floor, node the_Floor: kernel floor_",
        "Softmax, node the_Softmax: kernel softmax_",
        "of float32[7, 41] cannot be compiled",
    ):
        assert text in str(failed.value)


@pytest.mark.parametrize("declared", [[1, 9], [8], ["n", 8, 1], []])
def test_a_declared_shape_that_is_wrong(
    declared: list[int | str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in ONNX Runtime the result has its own shape, and a warning says so."""
    net = _net("Relu", (1, 8), 22, None, {})
    kind = helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)
    net.outputs[:] = [kind]
    (found,) = run(net, tmp_path, None, print)
    assert found.shape == (1, 8)
    text = ", ".join(map(str, declared))
    wanted = f"Relu, node it: output 'y' is declared as [{text}], and is [1, 8]\n"
    assert wanted in capsys.readouterr().out


@pytest.mark.parametrize("declared", [[1, 8], ["n", 8], ["a", "b"], None])
def test_a_declared_shape_that_is_right(
    declared: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = _net("Relu", (1, 8), 22, None, {})
    kind = helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)
    net.outputs[:] = [kind]
    run(net, tmp_path, None, print)
    assert "declared" not in capsys.readouterr().out
