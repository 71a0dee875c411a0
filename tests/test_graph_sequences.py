"""Sequences of tensors: what loops add, and rows of unknown number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_building import model_of
from onnx import TensorProto, helper
from onnx_files import info, model, node
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.spec import SpecError

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def sequence(name: str) -> onnx.ValueInfoProto:
    kind = helper.make_tensor_type_proto(FLOAT, None)
    return helper.make_value_info(name, helper.make_sequence_type_proto(kind))


def loop(*inserts: tuple[str, ...], reads: bool = False) -> list[onnx.NodeProto]:
    """A loop over columns of x, whose steps insert values into a sequence.

    inserts: inputs of SequenceInsert after the sequence. reads: a step reads its
    length.
    """
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["row"], axis=1),
        helper.make_node("Add", ["row", "h"], ["next"]),
        helper.make_node("Neg", ["next"], ["other"]),
    ]
    name = "s"
    for i, values in enumerate(inserts):
        nodes.append(helper.make_node("SequenceInsert", [name, *values], [f"s{i}"]))
        name = f"s{i}"
    if reads:
        nodes.append(helper.make_node("SequenceLength", ["s"], ["length"]))
    nodes.append(helper.make_node("Identity", ["go"], ["on"]))
    body = helper.make_graph(
        nodes,
        "body",
        [info("i", (), INT64), info("go", (), BOOL), info("h", None), sequence("s")],
        [info("on", (), BOOL), info("next", None), sequence(name)],
    )
    return [
        helper.make_node("Shape", ["x"], ["steps"], start=1, end=2),
        helper.make_node("Squeeze", ["steps"], ["count"]),
        helper.make_node("SequenceEmpty", [], ["none"]),
        helper.make_node("ReduceSum", ["x", "one"], ["h0"], keepdims=0),
        helper.make_node("Loop", ["count", "", "h0", "none"], ["h1", "all"], body=body),
        helper.make_node("ConcatFromSequence", ["all"], ["stack"], new_axis=1, axis=1),
        helper.make_node("ConcatFromSequence", ["all"], ["joined"], axis=-1),
        helper.make_node("SequenceAt", ["all", "last"], ["end"]),
        helper.make_node("SequenceLength", ["all"], ["length"]),
    ]


OUTPUTS = {"h1": FLOAT, "stack": FLOAT, "joined": FLOAT, "end": FLOAT, "length": INT64}
WEIGHTS = {"one": np.array([1]), "last": np.array(-1)}
X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype("f4")


def looped(*inserts: tuple[str, ...], **given: Any) -> onnx.ModelProto:
    outputs = [info(n, None, k) for n, k in OUTPUTS.items()]
    x = info("x", ("b", "t", 5))
    return model(loop(*inserts, **given), [x], outputs, WEIGHTS, opset=18)


def theirs(proto: onnx.ModelProto, x: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(a) for a in session.run(None, {"x": x})]


@pytest.mark.parametrize("inserts", [[("next",)], [("next",), ("other",)]])
def test_steps_of_a_loop_add_to_a_sequence(inserts: Any, tmp_path: Path) -> None:
    proto = looped(*inserts)
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    for x in (X, X[:, :1]):
        for found, wanted in zip(module(x), theirs(proto, x), strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, 1e-6, 1e-6)


def test_other_changes_of_a_sequence_are_refused() -> None:
    cases = (
        (looped(), "do not only add"),
        (looped(("next",), reads=True), "reads a sequence that a loop adds to"),
        (looped(("next", "one")), "reads a sequence that a loop adds to"),
    )
    for proto, text in cases:
        with pytest.raises(SpecError, match=text):
            graph_of(proto, "net", Given(), "file")


@pytest.mark.parametrize("given", [{}, {"keepdims": 0}, {"axis": 1}])
def test_slices_of_unknown_number(given: Any, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], **given),
        node("ConcatFromSequence", "parts", axis=0),
    ]
    proto = model(nodes, [info("x", ("b", "t", 5))], opset=18)
    onnx.save(proto, tmp_path / "net.onnx")
    found = model_of(tmp_path / "net.onnx")(X)
    np.testing.assert_array_equal(theirs(proto, X)[0], found)


def test_parts_of_unknown_number_that_may_differ_are_refused() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x", "two"], ["parts"]),
        node("ConcatFromSequence", "parts", axis=0),
    ]
    weights = {"two": np.array(2)}
    proto = model(nodes, [info("x", ("b", "t", 5))], None, weights, opset=18)
    with pytest.raises(SpecError, match="give the size by --dim"):
        graph_of(proto, "net", Given(), "file")


def test_a_body_for_each_of_a_sequence(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Mul", ["item", "factor"], ["out"])],
        "body",
        [info("item", None), info("factor", None)],
        [info("out", None)],
    )
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "x"], ["pair"]),
        helper.make_node("SequenceMap", ["pair", "x"], ["made"], body=body),
        node("ConcatFromSequence", "made", axis=1),
    ]
    proto = model(nodes, [info("x", ("b", "t", 5))], opset=18)
    onnx.save(proto, tmp_path / "net.onnx")
    found = model_of(tmp_path / "net.onnx")(X)
    np.testing.assert_array_equal(np.concatenate([X * X, X * X], 1), found)


@pytest.mark.parametrize("sizes", [None, [1] * 69 + [3]])
def test_more_parts_than_a_call_takes(sizes: list[int] | None, tmp_path: Path) -> None:
    parts = [f"p{i}" for i in range(70)]
    weights = {} if sizes is None else {"sizes": np.array(sizes)}
    nodes = [
        helper.make_node("Split", ["x", *weights], parts, axis=1),
        node("Concat", *parts[::-1], axis=1),
    ]
    x = info("x", ("b", 140 if sizes is None else 72))
    proto = model(nodes, [x], None, weights, opset=13)
    onnx.save(proto, tmp_path / "net.onnx")
    values = np.random.default_rng(1).standard_normal((2, 140 if sizes is None else 72))
    values = values.astype("f4")
    found = model_of(tmp_path / "net.onnx")(values)
    np.testing.assert_array_equal(theirs(proto, values)[0], found)
