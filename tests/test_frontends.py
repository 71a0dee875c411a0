"""What the ONNX frontend says of bad input, and what it makes of good input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.frontends import read_model, shapes_of
from toolchain.spec import SpecError

FLOAT = TensorProto.FLOAT
Shapes = Mapping[str, tuple[int, ...]]


def info(name: str, shape: Any = (2, 3), kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[Any],
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    opset: int = 20,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x")] if inputs is None else inputs,
        [info("y", None)] if outputs is None else outputs,
        [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def node(kind: str, *inputs: str, name: str = "n", **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), ["y"], name=name, **attributes)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(proto: Any) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


def refused(path: Path, shapes: Shapes | None = None) -> str:
    with pytest.raises(SpecError) as error:
        read_model(path, shapes or {})
    text = str(error.value)
    assert str(path) in text
    assert "Traceback" not in text
    return text


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.onnx")


def test_unknown_suffix(tmp_path: Path) -> None:
    assert "use .onnx" in refused(tmp_path / "net.pt")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")
    assert "the file is empty" in refused(path)


@pytest.mark.parametrize("data", [b"PK\x03\x04 a zip", b"a text\n" * 9, bytes(64)])
def test_not_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    assert "not an ONNX file" in refused(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    weights = {"w": np.ones((3, 4), "float32")}
    data = model([node("MatMul", "x", "w")], weights=weights).SerializeToString()
    path = tmp_path / "net.onnx"
    whole = onnx.load_from_string(data).graph
    for end in range(len(data)):
        path.write_bytes(data[:end])
        # Behind the graph stand only the versions of the operator sets.
        with contextlib.suppress(SpecError):
            read_model(path, {})
            assert whole == onnx.load(path).graph


def test_not_in_order(save: Any) -> None:
    """ONNX's checker refuses such files; ONNX Runtime sorts and runs them."""
    nodes = [node("Relu", "z"), helper.make_node("Neg", ["x"], ["z"])]
    assert ["negative", "nn.relu"] == operators(read_model(save(model(nodes)), {}))


def external(save: Any, dims: list[int], **entries: str) -> Path:
    proto = model([node("MatMul", "x", "w")])
    proto.graph.output[0].CopyFrom(info("y", (2, 4)))
    tensor = proto.graph.initializer.add(name="w", data_type=FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path: Path = save(proto)
    return path


def test_external_data_missing(save: Any) -> None:
    text = refused(external(save, [3, 4], location="net.bin"))
    assert "weight 'w' is in file 'net.bin'" in text
    assert "put it beside the model" in text


def test_external_data_short(save: Any, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(40))
    text = refused(external(save, [3, 4], location="net.bin", length="48"))
    assert "ends at byte 48" in text


def test_external_data(save: Any, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(48))
    found = read_model(external(save, [3, 4], location="net.bin", length="48"), {})
    assert ["x"] == found.inputs


def test_over_4_gb(save: Any) -> None:
    text = refused(external(save, [3, 1 << 30], location="net.bin"))
    assert f"{12 << 30} bytes of weights" in text
    assert "wasm32" in text


def test_unsupported_operators_all_at_once(save: Any) -> None:
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


def test_open_dimensions_all_at_once(save: Any) -> None:
    inputs = [info("x", ["batch", 3]), info("z", [None, 2]), info("u", None)]
    text = refused(save(model([node("Relu", "x")], inputs)))
    assert "size 'batch' of x: --dim batch=1" in text
    assert "input 'z' of shape [?, 2]: --shape z=1,2" in text
    assert "input 'u' has no shape: --shape u=1,3,224,224" in text


def test_open_dimensions_given(save: Any) -> None:
    inputs = [info("x", ["batch", 3]), info("z", ["batch", 3])]
    path = save(model([node("Add", "x", "z")], inputs))
    found = read_model(path, {"x": (5, 3)})
    shapes = [[int(n) for n in p.ty.shape] for p in found.module["main"].params]
    assert [[5, 3], [5, 3]] == shapes


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"v": (2, 3)}, "no input is named 'v' (--shape); inputs: x, z"),
        ({"x": (2, 3, 1)}, "has rank 3; the model's has 2"),
        ({"x": (2, 4)}, "has 4 at dimension 1, where the model has 3"),
        (
            {"x": (2, 3), "z": (4, 3)},
            "has 4 at dimension 0 (batch), where the model has 2",
        ),
    ],
)
def test_shapes_that_contradict(save: Any, shapes: Shapes, text: str) -> None:
    inputs = [info("x", ["batch", 3]), info("z", ["batch", 3])]
    assert text in refused(save(model([node("Add", "x", "z")], inputs)), shapes)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("FLOAT16", "float16"), ("DOUBLE", "float64"), ("STRING", "string")],
)
def test_dtypes_at_the_boundary(save: Any, kind: str, name: str) -> None:
    number = TensorProto.DataType.Value(kind)
    x, y = info("x", (2,), number), info("y", None, number)
    text = refused(save(model([node("Identity", "x")], [x], [y])))
    assert f"input 'x' has dtype {name}; modules take float32" in text
    assert f"output 'y' has dtype {name}" in text


def test_sequences_at_the_boundary(save: Any) -> None:
    y = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    text = refused(save(model([node("SplitToSequence", "x")], outputs=[y])))
    assert "SplitToSequence, node n" in text


@pytest.mark.parametrize(
    ("nodes", "weights", "text"),
    [
        (
            [node("Reshape", "x", "s")],
            {},
            "its shape must be known when the model is compiled, and depends on the "
            "elements of input 's'",
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
    save: Any, nodes: list[Any], weights: Mapping[str, Any], text: str
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


def operators(found: Any) -> list[str]:
    """Relax operators of a module's main, in order."""
    bindings = [b for k in found.module["main"].body.blocks for b in k.bindings]
    return [
        b.value.op.name.removeprefix("relax.")
        for b in bindings
        if hasattr(b.value, "op")
    ]


def test_shapes_fold(save: Any) -> None:
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


def test_constant_branch(save: Any) -> None:
    good = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    bad = helper.make_graph([node("Neg", "x")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=good, else_branch=bad)
    found = read_model(save(model([choice], weights={"c": np.array(True)})), {})
    assert ["nn.relu"] == operators(found)


def test_clip_keeps_its_limits(save: Any) -> None:
    weights = {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    found = read_model(
        save(model([node("Clip", "x", "low", "high")], weights=weights)), {}
    )
    assert ["clip"] == operators(found)


def test_names_are_different(save: Any) -> None:
    inputs = [info("a.b"), info("a/b")]
    found = read_model(save(model([node("Add", "a.b", "a/b")], inputs)), {})
    assert ["a_b", "a_b_2"] == found.inputs


def test_shapes_of() -> None:
    assert {"x:0": (1, 3), "y": (2,)} == shapes_of(["x:0=1,3", "y=2"])
    with pytest.raises(SpecError, match="is no shape; give name=sizes"):
        shapes_of(["x=1,batch"])
