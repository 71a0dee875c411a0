"""What the ONNX frontend says of bad input, and what it makes of good input."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.frontends import importer, read_model, shapes_of
from toolchain.model.build import Options, read_program
from toolchain.process.confined import Limits, run
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

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


def test_nothing_makes_it(save: Any) -> None:
    text = refused(save(model([node("Relu", "z")])))
    assert "Relu, node n: reads 'z', which no node, input or weight gives" in text
    cycle = [node("Add", "x", "z"), helper.make_node("Relu", ["y"], ["z"])]
    assert "Add, node n: waits for its own result" in refused(save(model(cycle)))
    inner = helper.make_graph([node("Relu", "q")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=inner, else_branch=inner)
    text = refused(save(model([choice], weights={"c": np.array(True)})))
    assert "reads 'q'" in text


def test_order_counts_what_subgraphs_read(save: Any) -> None:
    inner = helper.make_graph([node("Relu", "late")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=inner, else_branch=inner)
    late = helper.make_node("Neg", ["x"], ["late"])
    found = read_model(save(model([choice, late], weights={"c": np.array(True)})), {})
    assert ["negative", "nn.relu"] == operators(found)


def test_names_are_defined_once(save: Any) -> None:
    other = helper.make_node("Neg", ["x"], ["y"], name="m")
    text = refused(save(model([node("Relu", "x"), other])))
    assert "'y' is defined twice: by Relu, node n and by Neg, node m" in text
    text = refused(save(model([node("Relu", "x")], [info("x"), info("x")])))
    assert "'x' is defined twice: by an input and by an input" in text
    text = refused(save(model([node("Relu", "x")], weights={"y": np.ones(1)})))
    assert "by a weight and by Relu" in text


@pytest.mark.parametrize(
    ("dims", "kind", "data", "text"),
    [
        ([4], FLOAT, bytes(8), "has 8 bytes of data, and its shape [4] takes 16"),
        ([4], FLOAT, bytes(80), "has 80 bytes of data, and its shape [4] takes 16"),
        ([-4], FLOAT, bytes(16), "has shape [-4]"),
        ([4], 99, bytes(16), "has element type 99, which is unknown"),
        ([9], TensorProto.INT4, bytes(4), "has 4 bytes of data, and its shape [9] ta"),
        ([1 << 40], FLOAT, bytes(16), f"{1 << 42} bytes of weights"),
        ([1 << 32, 1 << 32], FLOAT, b"", f"{1 << 66} bytes of weights"),
    ],
)
@pytest.mark.parametrize("where", ["initializer", "attribute"])
def test_data_that_are_not_their_shape(
    where: str, dims: list[int], kind: int, data: bytes, text: str, save: Any
) -> None:
    tensor = TensorProto(name="w", dims=dims, data_type=kind, raw_data=data)
    proto = model([node("Add", "x", "w")])
    if where == "initializer":
        proto.graph.initializer.append(tensor)
    else:
        constant = helper.make_node("Constant", [], ["w"], value=tensor)
        proto.graph.node.insert(0, constant)
    assert text in refused(save(proto))


def test_numbers_that_are_not_their_shape(save: Any) -> None:
    proto = model([node("Add", "x", "w")])
    proto.graph.initializer.add(name="w", dims=[4], data_type=FLOAT).float_data[:] = [1]
    assert "tensor 'w' of shape [4] has other data" in refused(save(proto))


def test_sparse_weights(save: Any) -> None:
    proto = model([node("Add", "x", "w")])
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("w", FLOAT, [2], [5.0, 7.0]),
            helper.make_tensor("places", TensorProto.INT64, [2], [1, 5]),
            [2, 3],
        )
    )
    assert ["add"] == operators(read_model(save(proto), {}))
    proto.graph.sparse_initializer[0].indices.int64_data[1] = 6
    assert "has places outside of its shape [2, 3]" in refused(save(proto))


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


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"location": "net.bin", "offset": "-8"}, "has offset '-8'"),
        ({"location": "net.bin", "offset": "0x10"}, "has offset '0x10'"),
        ({"location": "net.bin", "length": "-1"}, "has length '-1'"),
        ({"location": "net.bin", "length": "4"}, "has 4 bytes in"),
        ({"location": "net.bin", "length": "64"}, "has 64 bytes in"),
        ({"location": "net.bin", "offset": "8"}, "ends at byte 56"),
        ({"location": "../outside.bin"}, "outside of the model's folder"),
        ({"location": "link.bin"}, "outside of the model's folder"),
        ({"location": "/dev/zero"}, "which is not there"),
        ({"location": "fifo"}, "which is not there"),
        ({"location": "."}, "which is not there"),
        ({"location": ""}, "which is not there"),
        ({"location": "a\nb"}, "which is not there"),
        ({"location": "x" * 5000}, "which is not there"),
    ],
)
def test_external_data_that_are_wrong(
    entries: dict[str, str], text: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "net.bin").write_bytes(bytes(48))
    (tmp_path / "outside.bin").write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    os.mkfifo(folder / "fifo")

    def save(proto: Any) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    assert text in refused(external(save, [3, 4], **entries))


def test_external_data_through_links(save: Any, tmp_path: Path) -> None:
    """A cache of files links the model and its weights to one folder."""
    (tmp_path / "named").mkdir()
    (tmp_path / "net.bin").write_bytes(bytes(48))
    path = external(save, [3, 4], location="net.bin")
    (tmp_path / "named" / "net.onnx").symlink_to(path)
    (tmp_path / "named" / "net.bin").symlink_to(tmp_path / "net.bin")
    assert ["x"] == read_model(tmp_path / "named" / "net.onnx", {}).inputs


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
    assert "input 'z' has shape [?, 2]: --shape z=1,2" in text
    assert "input 'u' has no shape: --shape u=1,3,224,224" in text


def test_unsupported_operators_are_grouped(save: Any) -> None:
    nodes = [
        helper.make_node("Det", ["x"], [f"y{i}"], name=f"n{i}", domain=domain)
        for i, domain in enumerate(["own"] * 40 + ["com.microsoft"] * 3)
    ]
    lines = refused(save(model(nodes, outputs=[info("y0", None)]))).splitlines()
    assert "  Det (domain own), node n0 and 39 more" == lines[1]
    assert lines[2].startswith("  Det (domain com.microsoft), node n40 and 2 more: an ")
    assert 3 == len(lines)


def test_branches_that_are_not_taken_may_hold_anything(save: Any) -> None:
    good = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    bad = helper.make_graph([node("Det", "x", name="d")], "b", [], [info("y", None)])
    choice = node("If", "c", then_branch=good, else_branch=bad)
    weights = {"c": np.array(True)}
    found = read_model(save(model([choice], weights=weights)), {})
    assert ["nn.relu"] == operators(found)
    weights = {"c": np.array(False)}
    text = refused(save(model([choice], weights=weights)))
    assert "Det, node n/d" in text


def test_values_make_inputs_constants(save: Any) -> None:
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


def test_control_flow_on_data(save: Any) -> None:
    branch = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "k"], ["c"]),
        node("If", "c", then_branch=branch, else_branch=branch),
    ]
    text = refused(save(model(nodes, weights={"k": np.float32(0)})))
    assert "depends on the elements of input x, which differ from call to call" in text
    assert "--value" not in text


@pytest.mark.parametrize("size", [-1, "?", "-1", "", None])
def test_sizes_without_names_are_each_their_own(save: Any, size: Any) -> None:
    """Paddle's exporter writes -1 and several called "?"."""
    path = save(model([node("Relu", "x")], [info("x", [1, 3, size, size])]))
    assert "has shape [1, 3, ?, ?]: --shape x=1,3,224,224" in refused(path)
    found = read_model(path, {"x": (1, 3, 48, 192)})
    assert [1, 3, 48, 192] == [int(n) for n in found.module["main"].params[0].ty.shape]


def test_many_open_inputs_make_one_line(save: Any) -> None:
    inputs = [info(f"x{i}", ["batch", "length"]) for i in range(19)]
    path = save(
        model([helper.make_node("Sum", [i.name for i in inputs], ["y"])], inputs)
    )
    text = refused(path)
    assert "size 'batch' of x0, x1, x2 and 16 more: --dim batch=1" in text
    assert 3 == len(text.splitlines())
    found = read_model(path, {}, {"batch": 2, "length": 5})
    assert 19 == len(found.inputs)


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


CONTRADICTIONS: dict[str, tuple[Any, dict[str, Any], str]] = {
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
def test_what_contradicts_is_named(name: str, save: Any) -> None:
    one, weights, text = CONTRADICTIONS[name]
    inputs = [info("x"), info("v", (1, 1, 5, 5)), info("o", (1,))]
    found = refused(save(model([one], inputs, weights=weights)))
    assert f"{one.op_type}, node n: " in found
    assert text in found


def test_computed_shapes_are_checked_too(save: Any) -> None:
    """A file whose Split gets its parts from shapes: no schema sees them by itself."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Split", ["x", "s"], ["y", "z"], name="n", axis=1),
    ]
    assert "the sum of 'split' (5)" in refused(save(model(nodes)))


def test_newer_operators_in_older_files(save: Any) -> None:
    """ONNX Runtime's optimiser writes them, and ONNX's checker refuses them."""
    one = node("LayerNormalization", "x", "w")
    path = save(model([one], weights={"w": np.ones(3, "float32")}, opset=14))
    assert operators(read_model(path, {}))


@pytest.mark.parametrize(
    ("opset", "text"),
    [(0, "is of opset 0"), (999, "is of opset 999"), (None, "names no")],
)
def test_versions_that_are_unknown(opset: int | None, text: str, save: Any) -> None:
    proto = model([node("Relu", "x")], opset=opset or 0)
    if opset is None:
        del proto.opset_import[:]
    assert text in refused(save(proto))


def test_giant_tensors_at_the_boundary(save: Any) -> None:
    inputs = [info("x", (1 << 40,)), info("z", [1] * 9)]
    text = refused(save(model([node("Relu", "x")], inputs)))
    assert "input 'x' is float32[1099511627776], 4398046511104 bytes" in text
    assert "input 'z' has rank 9; use up to 8" in text


def nested(depth: int) -> Any:
    inner = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    other = helper.make_graph([node("Neg", "x")], "e", [], [info("y", None)])
    for _ in range(depth):
        choice = node("If", "c", then_branch=inner, else_branch=other)
        inner = helper.make_graph([choice], "b", [], [info("y", None)])
    return model(list(inner.node), weights={"c": np.array(True)})


def test_deep_nesting(save: Any) -> None:
    assert ["nn.relu"] == operators(read_model(save(nested(20)), {}))


def test_nesting_that_is_too_deep(tmp_path: Path) -> None:
    """Written by hand: a graph in a node in a graph, 1000 times."""

    def field(number: int, data: bytes) -> bytes:
        size, length = b"", len(data)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + data

    graph = b""
    for _ in range(1000):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, its graph
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph))
    assert "nests graphs more than 30 deep" in refused(path)


def test_functions_that_grow(save: Any) -> None:
    """Each calls the one below twice: 2^22 nodes."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    proto = model([node("F22", "x", domain="own")])
    for i in range(23):
        calls = [
            helper.make_node(f"F{i - 1}", ["a"], ["t"], domain="own"),
            helper.make_node(f"F{i - 1}", ["t"], ["b"], domain="own"),
        ]
        body = calls if i else [helper.make_node("Relu", ["a"], ["b"])]
        f = helper.make_function("own", f"F{i}", ["a"], ["b"], body, imports)
        proto.functions.append(f)
    assert "the model has 4194304 nodes" in refused(save(proto))
    proto.functions[0].node[0].CopyFrom(calls[0])
    assert "calls itself" in refused(save(proto))


def test_100_000_nodes(save: Any) -> None:
    names = ["x", *(f"v{i}" for i in range(99_999)), "y"]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
    assert "the model has 100000 nodes, more than the" in refused(save(model(nodes)))


@pytest.mark.parametrize("kinds", [("Relu", "Neg"), ("Add",)])
def test_long_chains_of_functions(kinds: tuple[str, ...], save: Any) -> None:
    """Nested lets, and what is read twice, must not take TVM for ever."""
    names = ["x", *(f"v{i}" for i in range(39)), "y"]
    nodes = [
        helper.make_node(kind, [a] * (2 if kind == "Add" else 1), [b])
        for a, b, kind in zip(names, names[1:], itertools.cycle(kinds), strict=False)
    ]
    path = save(model(nodes, outputs=[info("y")]))

    def compile_kernels() -> int:
        program = read_program(path, Options("simd128"), lambda _: None)
        kernels = [n.attributes["kernel"] for n in program.graph.nodes]
        return sum(len(k.texts(TARGETS["simd128"])) for k in kernels)

    assert run("chain", compile_kernels, Limits(120, 8 << 30))


def test_constants_that_grow(save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "CONSTANTS", 1 << 20)
    nodes = [
        helper.make_node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=0)
        for i in range(40)
    ]
    nodes.append(node("Add", "x", "v40"))
    text = refused(save(model(nodes, weights={"v0": np.ones(4, "float32")})))
    assert "all such results take over 1 MiB and 8 times the weights" in text


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
