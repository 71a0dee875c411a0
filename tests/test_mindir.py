"""MindIR: MindSpore's files against ONNX Runtime and MindSpore itself."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from abi import runtime_objects
from google.protobuf.message import Message
from numpy.typing import NDArray
from ops_wasm32.command_verify import compare
from ops_wasm32.convert import Array
from ops_wasm32.exact import exact_session

from toolchain.frontends import read_model
from toolchain.frontends.mind_ir_schema import model_class
from toolchain.frontends.mindir import CONTROL
from toolchain.frontends.mindir_primitives import RULES
from toolchain.model.build import Options, build_model
from toolchain.model.compile import Place
from toolchain.profile import ROOT
from toolchain.spec import SpecError

NET = ROOT / "models" / "mindspore_net.mindir"
PEER = ROOT / "tests" / "mindspore_net.onnx"
PRIMITIVES = ROOT / "tests" / "mindspore_primitives.zip"


def build(
    file: Path, target: str, folder: Path
) -> tuple[ops_wasm32.Library, dict[str, Any]]:
    place = Place(folder / "out", ROOT / "build" / "cache" / target)
    options = Options(target)
    manifest = build_model(
        file, options, place, runtime_objects(target), lambda _: None
    )
    return ops_wasm32.load(place.folder / f"{file.stem}.wasm"), manifest


@pytest.mark.parametrize("target", ["simd128", "relaxed-simd"])
def test_net_agrees_with_the_onnx_that_mindspore_exports(
    target: str, tmp_path: Path
) -> None:
    library, manifest = build(NET, target, tmp_path)
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


# Exported, to see that their names are reported; not imported.
UNSUPPORTED = {
    "atan2": "Atan2",
    "fmod": "DivMod",
    "hardshrink": "HShrink",
    "lrn": "LRN",
    "softshrink": "SoftShrink",
    "sort": "Sort",
    "topk": "TopK",
}


def _softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.exp(x))


# What MindSpore approximates by more than a few roundings: its results are this far
# from the exact ones, to which ours are compared.
MINDSPORE = 4e-6
EXACT: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "log": np.log,
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True)),
    "logsigmoid": lambda x: -_softplus(-x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": _softplus,
}


@pytest.mark.parametrize("name", primitives())
def test_primitive_agrees_with_mindspore(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(PRIMITIVES) as archive:
        data = np.load(io.BytesIO(archive.read(f"{name}.npz")))
        file = tmp_path / f"{name}.mindir"
        file.write_bytes(archive.read(f"{name}.mindir"))
    if name in UNSUPPORTED:
        with pytest.raises(SpecError, match=f"primitive {UNSUPPORTED[name]} is unsup"):
            read_model(file, {})
        return
    library, manifest = build(file, "simd128", tmp_path)
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
    table = text.split("## Primitives")[1].split("##")[0]
    assert sorted({*RULES, *CONTROL}) == sorted(re.findall(r"`(\w+)`", table))


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
            "node Default/trunk-Trunk/Neg-op0: primitive MyNeg is unsupported",
            "node Default/attention-Attention/gelu-GELU/GeLU-op0: primitive MyGeLU is",
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
    (dynamic, ["input image: shape [?, 3, 16, 16] leaves", "--shape image=1,3,16,16"]),
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
    (unknown, [" more: primitive Load:2 is not in the file"]),
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
        read_model(file, {})
    for text in texts:
        assert text in str(found.value)


def test_open_size_takes_the_given_one(tmp_path: Path) -> None:
    proto = parsed()
    dynamic(proto)
    file = tmp_path / "net.mindir"
    file.write_bytes(proto.SerializeToString())
    model = read_model(file, {"image": (1, 3, 16, 16)})
    image = model.module["main"].params[0]
    assert [1, 3, 16, 16] == [int(n) for n in image.ty.shape]
    with pytest.raises(SpecError, match=r"--shape image: \[1, 3, 16\] is not"):
        read_model(file, {"image": (1, 3, 16)})
    with pytest.raises(SpecError, match="--shape picture: is no input; inputs are im"):
        read_model(file, {"image": (1, 3, 16, 16), "picture": (1,)})


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
    assert ["image", "sentence"] == read_model(file, {}).inputs


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
        read_model(file, {})


def test_truncated_anywhere(tmp_path: Path) -> None:
    data = NET.read_bytes()
    rng = np.random.default_rng(0)
    cuts: Array = rng.integers(0, len(data), 60)
    for end in (*cuts, len(data) - 1, len(data) - 2):
        file = tmp_path / "net.mindir"
        file.write_bytes(data[:end])
        with pytest.raises(SpecError, match=r"cut short|no MindIR file"):
            read_model(file, {})
