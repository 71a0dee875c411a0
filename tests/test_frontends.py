"""What the ONNX frontend says of nodes: order, names, operators, attributes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import Save, Weights, info, model, node, operators, refused

from toolchain.frontends import read_model


def test_not_in_order(save: Save) -> None:
    """ONNX's checker refuses such files; ONNX Runtime sorts and runs them."""
    nodes = [node("Relu", "z"), helper.make_node("Neg", ["x"], ["z"])]
    assert ["negative", "nn.relu"] == operators(read_model(save(model(nodes)), {}))


def test_nothing_makes_it(save: Save) -> None:
    text = refused(save(model([node("Relu", "z")])))
    assert "Relu, node n: reads 'z', which no node, input or weight gives" in text
    cycle = [node("Add", "x", "z"), helper.make_node("Relu", ["y"], ["z"])]
    assert "Add, node n: waits for its own result" in refused(save(model(cycle)))
    inner = helper.make_graph([node("Relu", "q")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=inner, else_branch=inner)
    text = refused(save(model([choice], weights={"c": np.array(True)})))
    assert "reads 'q'" in text


def test_order_counts_what_subgraphs_read(save: Save) -> None:
    inner = helper.make_graph([node("Relu", "late")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=inner, else_branch=inner)
    late = helper.make_node("Neg", ["x"], ["late"])
    found = read_model(save(model([choice, late], weights={"c": np.array(True)})), {})
    assert ["negative", "nn.relu"] == operators(found)


def test_names_are_defined_once(save: Save) -> None:
    other = helper.make_node("Neg", ["x"], ["y"], name="m")
    text = refused(save(model([node("Relu", "x"), other])))
    assert "'y' is defined twice: by Relu, node n and by Neg, node m" in text
    text = refused(save(model([node("Relu", "x")], [info("x"), info("x")])))
    assert "'x' is defined twice: by an input and by an input" in text
    text = refused(save(model([node("Relu", "x")], weights={"y": np.ones(1)})))
    assert "by a weight and by Relu" in text


def test_unsupported_operators_all_at_once(save: Save) -> None:
    inner = helper.make_graph(
        [helper.make_node("Det", ["x"], ["b"], name="deep")], "b", [], [info("b", None)]
    )
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], name="first", domain="own"),
        helper.make_node("NonZero", ["x"], ["i"], name="second"),
        helper.make_node(
            "If", ["c"], ["y"], name="choice", then_branch=inner, else_branch=inner
        ),
    ]
    text = refused(save(model(nodes, weights={"c": np.array(True)})))
    assert "Mystery (domain own), node first" in text
    assert "NonZero, node second: the shape of its result depends on" in text
    assert "Det, node choice/deep" in text


def test_unsupported_operators_are_grouped(save: Save) -> None:
    nodes = [
        helper.make_node("Det", ["x"], [f"y{i}"], name=f"n{i}", domain=domain)
        for i, domain in enumerate(["own"] * 40 + ["com.microsoft"] * 3)
    ]
    lines = refused(save(model(nodes, outputs=[info("y0", None)]))).splitlines()
    assert "  Det (domain own), node n0 and 39 more" == lines[1]
    assert lines[2].startswith("  Det (domain com.microsoft), node n40 and 2 more: an ")
    assert 3 == len(lines)


def test_branches_that_are_not_taken_may_hold_anything(save: Save) -> None:
    good = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    bad = helper.make_graph([node("Det", "x", name="d")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=good, else_branch=bad)
    weights = {"c": np.array(True)}
    found = read_model(save(model([choice], weights=weights)), {})
    assert ["nn.relu"] == operators(found)
    weights = {"c": np.array(False)}
    text = refused(save(model([choice], weights=weights)))
    assert "Det, node n/d" in text


def test_values_make_inputs_constants(save: Save) -> None:
    """The sample rate of a voice model: a branch for each."""
    good = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    other = helper.make_graph([node("Neg", "x")], "b", [], [info("y", None)])
    nodes = [
        helper.make_node("Equal", ["sr", "wide"], ["c"]),
        node("If", "c", then_branch=good, else_branch=other),
    ]
    inputs = [info("x"), info("sr", (), TensorProto.INT64)]
    path = save(model(nodes, inputs, weights={"wide": np.array(16000)}))
    text = refused(path)
    assert "depends on input sr; make that a constant, as in --value sr=1" in text
    for value, operator in (("16000", "nn.relu"), ("8000", "negative")):
        found = read_model(path, {}, values={"sr": [value]})
        assert ([operator], ["x"]) == (operators(found), found.inputs)


def test_control_flow_on_data(save: Save) -> None:
    branch = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "k"], ["c"]),
        node("If", "c", then_branch=branch, else_branch=branch),
    ]
    text = refused(save(model(nodes, weights={"k": np.float32(0)})))
    assert "depends on the elements of input x, which differ from call to call" in text
    assert "--value" not in text


@pytest.mark.parametrize(
    ("nodes", "weights", "text"),
    [
        (
            [node("Reshape", "x", "s")],
            {},
            "its shape must be known when the model is compiled, and depends on "
            "input s; make that a constant, as in --value s=-1",
        ),
        ([node("If", "c")], {}, "its condition must be known"),
        (
            [node("Gather", "x", "i")],
            {"i": np.array([0, 2])},
            "its indices 0..2 lie outside of size 2",
        ),
        ([node("Mod", "k", "i")], {"i": np.array([2, 0])}, "its divisor has a 0"),
        ([node("Cast", "x", to=TensorProto.FLOAT16)], {}, "dtype float16"),
        (
            [node("MatMul", "x", "w")],
            {"w": np.ones((7, 2), "float32")},
            "the ONNX standard",
        ),
    ],
)
def test_nodes_that_cannot_be(
    save: Save, nodes: list[onnx.NodeProto], weights: Weights, text: str
) -> None:
    branch = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    if nodes[0].op_type == "If":
        nodes[0] = node("If", "c", then_branch=branch, else_branch=branch)
    inputs = [
        info("x"),
        info("s", (1,), TensorProto.INT64),
        info("c", (), TensorProto.BOOL),
        info("k", (2,), TensorProto.INT64),
    ]
    found = refused(save(model(nodes, inputs, weights=weights)))
    assert f"{nodes[0].op_type}, node n: " in found
    assert text in found


CONTRADICTIONS: dict[str, tuple[onnx.NodeProto, Weights, str]] = {
    "axis": (node("Gather", "x", "i", axis=7), {"i": np.array([0])}, "axis must be in"),
    "parts": (
        node("Split", "x", "i", axis=1),
        {"i": np.array([9])},
        "Mismatch between the sum of 'split' (9)",
    ),
    "taps": (node("MaxPool", "v", kernel_shape=[0, 0]), {}, "kernel_shape must only"),
    "strides": (
        node("Conv", "v", "w", strides=[0, 0]),
        {"w": np.ones((1, 1, 2, 2), "float32")},
        "strides must only",
    ),
    "twice": (node("Transpose", "x", perm=[0, 0]), {}, "repeated value"),
    "unknown attribute": (node("Relu", "x", alpha=1.0), {}, "Unrecognized attribute"),
    "inputs": (node("Add", "x"), {}, "has input size 1 not in range"),
    "tile": (node("Tile", "x", "i"), {"i": np.array([1, 1 << 40])}, "under 2 GiB"),
    "expand": (node("Expand", "o", "i"), {"i": np.array([1 << 33])}, "under 2 GiB"),
    "pad": (node("Pad", "o", "i"), {"i": np.array([0, 1 << 33])}, "under 2 GiB"),
    "constant": (node("ConstantOfShape", "i"), {"i": np.array([1 << 40])}, "under 2 G"),
    "range": (
        node("Range", "a", "b", "c"),
        {"a": np.array(0), "b": np.array(1 << 40), "c": np.array(1)},
        "under 2 GiB",
    ),
    "rank": (node("Reshape", "x", "i"), {"i": np.array([1] * 9)}, "has rank 9; use up"),
    "letters": (node("Einsum", "o", equation=f"i->{'i' * 5000}"), {}, "has rank 5000"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_is_named(name: str, save: Save) -> None:
    one, weights, text = CONTRADICTIONS[name]
    inputs = [info("x"), info("v", (1, 1, 5, 5)), info("o", (1,))]
    found = refused(save(model([one], inputs, weights=weights)))
    assert f"{one.op_type}, node n: " in found
    assert text in found


def test_computed_shapes_are_checked_too(save: Save) -> None:
    """A file whose Split gets its parts from shapes: no schema sees them by itself."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Split", ["x", "s"], ["y", "z"], name="n", axis=1),
    ]
    assert "the sum of 'split' (5)" in refused(save(model(nodes)))


def test_newer_operators_in_older_files(save: Save) -> None:
    """ONNX Runtime's optimiser writes them, and ONNX's checker refuses them."""
    one = node("LayerNormalization", "x", "w")
    path = save(model([one], weights={"w": np.ones(3, "float32")}, opset=14))
    assert operators(read_model(path, {}))


def test_shapes_fold(save: Save) -> None:
    """The idiom of exporters: a shape computed from an input's own."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        node("Reshape", "x", "shape"),
    ]
    weights = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([3, 1])}
    assert ["reshape"] == operators(read_model(save(model(nodes, weights=weights)), {}))


def test_constant_branch(save: Save) -> None:
    good = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    bad = helper.make_graph([node("Neg", "x")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=good, else_branch=bad)
    found = read_model(save(model([choice], weights={"c": np.array(True)})), {})
    assert ["nn.relu"] == operators(found)


def test_clip_keeps_its_limits(save: Save) -> None:
    weights = {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    found = read_model(
        save(model([node("Clip", "x", "low", "high")], weights=weights)), {}
    )
    assert ["clip"] == operators(found)


def test_names_are_different(save: Save) -> None:
    inputs = [info("a.b"), info("a/b")]
    found = read_model(save(model([node("Add", "a.b", "a/b")], inputs)), {})
    assert ["a_b", "a_b_2"] == found.inputs
