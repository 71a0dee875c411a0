"""Texts of the hosts for models: constants, files and options that do not fit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from compiling import compiled as model_compiled
from onnx import TensorProto, helper, numpy_helper
from test_command import fails, run

from toolchain.profile import ROOT

LIBRARY = ROOT / "build" / "simd128" / "ops_wasm32.wasm"


def save(path: Path) -> None:
    """Gather(x, s) * w of open sizes: x and s may both be constants."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("my.s", TensorProto.INT64, ["k"]),
    ]
    nodes = [
        helper.make_node("Gather", ["x", "my.s"], ["g"], axis=1),
        helper.make_node("MatMul", ["w", "g"], ["y"]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(np.ones((3, 2), np.float32), "w")]
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def compiled(folder: Path, name: str, *values: str, weights: str = "embedded") -> Path:
    """The module of the model with some inputs as constants."""
    file, out = folder / "net.onnx", folder / name
    given = {"weights": weights, "dim": ["n=2"], "value": list(values)}
    failed = model_compiled(file=str(file), out=str(out), **given)
    assert failed is None, failed.message
    return out / "net.wasm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    save(folder / "net.onnx")
    return folder


@pytest.fixture(scope="module")
def half(folder: Path) -> Path:
    """The module that takes x alone."""
    return compiled(folder, "half", "my.s=0,3")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """The module that takes nothing."""
    values = ("x=1,2,3,4,5,6,7,8", "my.s=0,3")
    return compiled(folder, "whole", *values, weights="external")


@pytest.mark.parametrize("name", ["my.s", "my_s"])
def test_verify_of_constants(
    name: str, half: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("verify", half, "--against", folder / "net.onnx", "--value")
    code, out, _ = run(capsys, *words, f"{name}=0,3")
    assert (0, True) == (code, "pass" in out)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            [],
            "has 2 inputs and 1 outputs, the module 1 and 1; give those that were made",
        ),
        (["--value", "my.s=0"], "output y is 3x1, the module's is 3x2"),
        (["--value", "s=0,3"], "has no such input; use my.s, x"),
        (["--value", "my.s=0,a"], "--value my.s=0,a: 'a' is no int64"),
        (["--value", "my.s="], "--value 'my.s=' is no value; give NAME=NUMBER, or a"),
        (["--value", "x=1,2,3"], "--value x=1,2,3: the input has shape ["),
        (["--value", "my.s=0,9"], "ONNX Runtime cannot run it on these inputs"),
        (["--value", "my.s=1,2", "--value", "my.s=0,3"], "gives my.s twice; give it o"),
    ],
)
def test_constants_that_do_not_fit(
    words: list[str],
    text: str,
    half: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = folder / "net.onnx"
    assert text in fails(capsys, "verify", half, "--against", file, *words)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.mindir", "is MindIR, which ONNX Runtime does not read; give the same ne"),
        ("net.py", "is a recipe; give the file that it writes, build/models/net/net.o"),
        ("net.txt", "ONNX Runtime does not take it; give the .onnx file that the modu"),
        ("none.onnx", "there is no such file; give the .onnx file"),
        ("folder", "is no file; give the .onnx file"),
    ],
)
def test_what_verify_takes(
    name: str, text: str, half: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "folder").mkdir(exist_ok=True)
    if name.startswith("net."):
        (folder / name).write_text("x = 1")
    assert text in fails(capsys, "verify", half, "--against", folder / name)


def test_options_that_are_no_models(
    half: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = fails(capsys, "run", half, "-d", "FP32", "-I", "1")
    assert "-d FP32: a model takes the data types that it is compiled for" in text
    text = fails(capsys, "list", "-c", half)
    assert "holds the model net, which is no library of operators" in text
    for file in (half, LIBRARY):
        assert "max memory:  4294967296 bytes\n" in run(capsys, "info", file)[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["run", "-o", "Add", "-o", "Sub"],
            "argument -o: is given twice; give it once",
        ),
        (
            ["run", "-o", "Softmax", "axis=0", "axis=1", "-I", "1"],
            "axis is given twice",
        ),
        (["run", "-o", "Add"], "add: input a is missing"),
        (["info", ""], "the path is empty; give that of a file"),
        (["verify", "a", "--against", "b", "--seed", "x"], "'x' is no whole number"),
        (
            ["verify", "a", "--against", "b", "--bound", "x"],
            "x is no bound; give 0 or",
        ),
        (["verify", "a", "--against", "b", "--max-int", "-1"], "-1 is below 0; give 0"),
    ],
)
def test_wrong_words(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in fails(capsys, *words)


def test_a_file_of_other_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.npy").write_text("hi")
    text = fails(capsys, "run", "-o", "Abs", "-i", tmp_path / "x.npy")
    assert text.endswith("x.npy: is not a .npy file: it holds no arrays of numbers\n")


def node(script: str) -> str:
    """What a script that loads models prints."""
    loader = (ROOT / "embed" / "js" / "ops_wasm32.mjs").as_uri()
    text = f'import {{ load }} from "{loader}";\n{script}'
    command = ["node", "--input-type=module", "-e", text]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_texts_in_node(half: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole, moved := tmp_path / "moved.wasm")
    found = node(f"""
    const whole = await load("{whole}"), half = await load("{half}");
    console.log([...whole.run().y].join());
    for (const run of [() => half.run(), () => half.run(null), () => whole.run(null),
                       () => whole.run({{ a: 1 }})])
      try {{ run(); }} catch (error) {{ console.log(error.message); }}
    for (const path of ["{moved}", "{tmp_path}/none.wasm"])
      await load(path).catch((error) => console.log(error.message));
    """)
    beside = tmp_path / "net.safetensors"
    assert found.splitlines() == [
        "6,12,6,12,6,12",
        "input x is no array; give a Float32Array of 8: float32 2x4",
        "give an object with an array for each input: x",
        "give an object with an array for each input: none (it takes none)",
        "input a is unknown; use none (it takes none)",
        f"{moved}: its weights are missing: {beside}: cannot be read: there is no such "
        "file; put the file that was built with the module beside it, or give its "
        "path, URL or bytes as the weights",
        f"{tmp_path}/none.wasm: cannot be read: there is no such file",
    ]
