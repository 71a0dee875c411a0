"""What the ONNX frontend says of files: bytes, versions, weights."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import FLOAT, Save, info, model, node, operators, refused

from toolchain.frontends import read_model
from toolchain.spec import SpecError


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


@pytest.mark.parametrize(
    ("opset", "text"),
    [(0, "is of opset 0"), (999, "is of opset 999"), (None, "names no")],
)
def test_versions_that_are_unknown(opset: int | None, text: str, save: Save) -> None:
    proto = model([node("Relu", "x")], opset=opset or 0)
    if opset is None:
        del proto.opset_import[:]
    assert text in refused(save(proto))


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
    where: str, dims: list[int], kind: int, data: bytes, text: str, save: Save
) -> None:
    tensor = TensorProto(name="w", dims=dims, data_type=kind, raw_data=data)
    proto = model([node("Add", "x", "w")])
    if where == "initializer":
        proto.graph.initializer.append(tensor)
    else:
        constant = helper.make_node("Constant", [], ["w"], value=tensor)
        proto.graph.node.insert(0, constant)
    assert text in refused(save(proto))


def test_numbers_that_are_not_their_shape(save: Save) -> None:
    proto = model([node("Add", "x", "w")])
    proto.graph.initializer.add(name="w", dims=[4], data_type=FLOAT).float_data[:] = [1]
    assert "tensor 'w' of shape [4] has other data" in refused(save(proto))


def test_sparse_weights(save: Save) -> None:
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


def external(save: Save, dims: list[int], **entries: str) -> Path:
    proto = model([node("MatMul", "x", "w")])
    proto.graph.output[0].CopyFrom(info("y", (2, 4)))
    tensor = proto.graph.initializer.add(name="w", data_type=FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path: Path = save(proto)
    return path


def test_external_data_missing(save: Save) -> None:
    text = refused(external(save, [3, 4], location="net.bin"))
    assert "weight 'w' is in file 'net.bin'" in text
    assert "put it beside the model" in text


def test_external_data_short(save: Save, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(40))
    text = refused(external(save, [3, 4], location="net.bin", length="48"))
    assert "ends at byte 48" in text


def test_external_data(save: Save, tmp_path: Path) -> None:
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

    def save(proto: onnx.ModelProto) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    assert text in refused(external(save, [3, 4], **entries))


def test_external_data_through_links(save: Save, tmp_path: Path) -> None:
    """A cache of files links the model and its weights to one folder."""
    (tmp_path / "named").mkdir()
    (tmp_path / "net.bin").write_bytes(bytes(48))
    path = external(save, [3, 4], location="net.bin")
    (tmp_path / "named" / "net.onnx").symlink_to(path)
    (tmp_path / "named" / "net.bin").symlink_to(tmp_path / "net.bin")
    assert ["x"] == read_model(tmp_path / "named" / "net.onnx", {}).inputs


def test_over_4_gb(save: Save) -> None:
    text = refused(external(save, [3, 1 << 30], location="net.bin"))
    assert f"{12 << 30} bytes of weights" in text
    assert "wasm32" in text
