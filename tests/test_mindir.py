"""MindIR: MindSpore's files against ONNX Runtime and MindSpore itself."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from google.protobuf.message import Message
from graph_building import module_of
from numpy.typing import NDArray
from ops_wasm32.command_verify import compare
from ops_wasm32.convert import Array
from ops_wasm32.exact import exact_session

from toolchain.abi import ABI_VERSION, ABI_VERSION_OPEN
from toolchain.frontends import Given
from toolchain.frontends.mindir import read
from toolchain.frontends.mindir_schema import model_class
from toolchain.frontends.primitives.calls import table
from toolchain.profile import ROOT
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

NET = ROOT / "models" / "mindspore_net.mindir"
PEER = ROOT / "tests" / "mindspore_net.onnx"
PRIMITIVES = ROOT / "tests" / "mindspore_primitives.zip"


def build(file: Path, folder: Path) -> tuple[ops_wasm32.Library, dict[str, Any]]:
    """The module of a file, which plans at each call, loaded, and its manifest."""
    return loaded(module_of(read(file, Given()).graph, folder))


def loaded(wasm: Path) -> tuple[ops_wasm32.Library, dict[str, Any]]:
    """A module and its manifest."""
    manifest = json.loads(wasm.with_suffix(".manifest.json").read_text())
    return ops_wasm32.load(wasm), manifest


@pytest.mark.parametrize("target", ["simd128", "relaxed-simd", "planned at each call"])
def test_net_agrees_with_the_onnx_that_mindspore_exports(
    target: str, tmp_path: Path
) -> None:
    wasm = ROOT / "build" / "models" / NET.stem / target / f"{NET.stem}.wasm"
    library, manifest = loaded(wasm) if target in TARGETS else build(NET, tmp_path)
    assert (ABI_VERSION if target in TARGETS else ABI_VERSION_OPEN) == manifest[
        "abi_version"
    ]
    session, _ = exact_session(PEER)
    names = [i.name for i in session.get_inputs()]
    assert ["image", "sentence"] == [i["name"] for i in manifest["inputs"]]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image = rng.standard_normal((1, 3, 16, 16)).astype(np.float32)
        sentence = rng.integers(0, 50, (1, 16)).astype(np.int32)
        given = (image, sentence)
        want = session.run(None, dict(zip(names, given, strict=True)))
        got = library.call(NET.stem, *given)
        for mine, theirs in zip(got, want, strict=True):
            assert compare(mine, theirs)[1] <= manifest["tolerance"]


def primitives() -> list[str]:
    with zipfile.ZipFile(PRIMITIVES) as archive:
        names = archive.namelist()
    return sorted(Path(n).stem for n in names if n.endswith(".mindir"))


def _softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.exp(x))


# What MindSpore approximates by more than a few roundings: its results are this far
# from the exact ones, to which ours are compared.
MINDSPORE = 4e-6
EXACT: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": _softplus,
}


@pytest.mark.parametrize("name", primitives())
def test_primitive_agrees_with_mindspore(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(PRIMITIVES) as archive:
        data = np.load(io.BytesIO(archive.read(f"{name}.npz")))
        file = tmp_path / f"{name}.mindir"
        file.write_bytes(archive.read(f"{name}.mindir"))
    library, manifest = build(file, tmp_path)
    result = library.call(name, *(data[i["name"]] for i in manifest["inputs"]))
    got = list(result) if len(manifest["outputs"]) > 1 else [result]
    want = [data[f"out{i}"] for i in range(len(got))]
    for mine, theirs in zip(got, want, strict=True):
        assert (theirs.dtype, theirs.shape) == (mine.dtype, mine.shape)
        exact = EXACT.get(name)
        if exact is None:
            assert compare(mine, theirs)[1] <= manifest["tolerance"]
            continue
        wide = exact(data["a"].astype(np.float64))
        assert compare(mine, wide)[1] <= manifest["tolerance"]
        assert manifest["tolerance"] < compare(theirs, wide)[1] <= MINDSPORE


def test_document_lists_every_primitive() -> None:
    text = (ROOT / "docs" / "mindir.md").read_text()
    listed = text.split("## Primitives")[1].split("##")[0]
    assert sorted(table()) == sorted(re.findall(r"`(\w+)`", listed))


def parsed() -> Message:
    proto = model_class()()
    proto.ParseFromString(NET.read_bytes())
    return proto


def unsupported(proto: Message) -> None:
    for primitive in proto.primitives:
        if primitive.op_type in ("Neg", "GeLU"):
            primitive.op_type = f"My{primitive.op_type}"


def version(proto: Message) -> None:
    proto.mind_ir_version = 9


def old(proto: Message) -> None:
    proto.ClearField("mind_ir_version")


def lost(proto: Message) -> None:
    proto.graph.parameter[0].ClearField("raw_data")


def absent(proto: Message) -> None:
    del proto.graph.parameter[3]


def outside(proto: Message) -> None:
    tensor = proto.graph.parameter[1]
    tensor.external_data.location = "net_variables/data_0"
    tensor.ClearField("raw_data")


def dynamic(proto: Message) -> None:
    proto.graph.input[0].tensor[0].dims[0] = -1


ERRORS: list[tuple[Callable[[Message], None], list[str]]] = [
    (
        unsupported,
        [
            "operators are not supported (docs/mindir.md: which are)",
            "MyNeg, node Default/trunk-Trunk/Neg-op0",
            "MyGeLU, node Default/attention-Attention/gelu-GELU/GeLU-op0",
        ],
    ),
    (version, ["version 9 of MindIR is unknown; known are 1 to 3"]),
    (old, ["has no mind_ir_version; it was cut short, or is older"]),
    (
        lost,
        [
            "parameter trunk.first.weight: has 0 bytes of 864 for shape [8, 3, 3, 3]",
            "its data are missing",
        ],
    ),
    (absent, ["trunk.norm.beta' is nowhere defined"]),
    (
        outside,
        ["parameter trunk.first.bias", "net_variables/data_0', which is not there"],
    ),
]


def untyped(proto: Message) -> None:
    """The axes of a reduction get a type that there is not: TVM ended the process."""
    values = [
        a.values[0]
        for n in proto.graph.node
        if n.op_type == "Constant"
        for a in n.attribute
        if a.type == 20 and len(a.values) == 1 and list(a.values[0].ints) == [-1]
    ]
    values[0].type = 2147483647


def unknown(proto: Message) -> None:
    proto.ClearField("primitives")


ERRORS += [
    (untyped, ["holds a value of type 2147483647, which is unknown"]),
    (unknown, ["Load:2, node ", ": primitive Load:2 is not in the file"]),
]


@pytest.mark.parametrize(("change", "texts"), ERRORS)
def test_errors(
    change: Callable[[Message], None], texts: list[str], tmp_path: Path
) -> None:
    proto = parsed()
    change(proto)
    file = tmp_path / "net.mindir"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(SpecError) as found:
        read(file, Given())
    for text in texts:
        assert text in str(found.value)


def test_an_open_size_stays_open_or_takes_the_given_one(tmp_path: Path) -> None:
    proto = parsed()
    dynamic(proto)
    file = tmp_path / "net.mindir"
    file.write_bytes(proto.SerializeToString())
    fixed = read(file, Given({"image": (1, 3, 16, 16)})).graph
    assert [(1, 3, 16, 16), (1, 16)] == [v.shape for v in fixed.inputs]
    with pytest.raises(SpecError, match=r"--shape image=1,3,16 has rank 3; the model"):
        read(file, Given({"image": (1, 3, 16)}))
    with pytest.raises(SpecError, match=r"no input is named 'picture' \(--shape\); i"):
        read(file, Given({"picture": (1,)}))


def test_weights_beside_the_file(tmp_path: Path) -> None:
    proto = parsed()
    tensor = proto.graph.parameter[1]
    data: bytes = tensor.raw_data
    outside(proto)
    tensor.external_data.offset, tensor.external_data.length = 64, len(data)
    (tmp_path / "net_variables").mkdir()
    (tmp_path / "net_variables" / "data_0").write_bytes(bytes(64) + data)
    file = tmp_path / "net.mindir"
    file.write_bytes(proto.SerializeToString())
    inputs = read(file, Given()).graph.inputs
    assert ["image", "sentence"] == [v.name for v in inputs]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is no MindIR file"),
        (b"\xff" * 40, "is no MindIR file"),
        (b"\xd8\x5e\x3a\x7f" + bytes(40), "is encrypted; export it without enc_key"),
        (PEER.read_bytes(), "is no MindIR file"),
    ],
)
def test_other_files(data: bytes, text: str, tmp_path: Path) -> None:
    file = tmp_path / "net.mindir"
    file.write_bytes(data)
    with pytest.raises(SpecError, match=text):
        read(file, Given())


def test_truncated_anywhere(tmp_path: Path) -> None:
    data = NET.read_bytes()
    rng = np.random.default_rng(0)
    cuts: Array = rng.integers(0, len(data), 60)
    for end in (*cuts, len(data) - 1, len(data) - 2):
        file = tmp_path / "net.mindir"
        file.write_bytes(data[:end])
        with pytest.raises(SpecError, match=r"cut short|no MindIR file"):
            read(file, Given())
