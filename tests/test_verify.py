"""`ops-wasm32 verify`: a built model beside ONNX Runtime, and how errors count."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import ops_wasm32
import pytest
from abi import runtime_objects
from ops_wasm32.__main__ import main
from ops_wasm32.command_verify import compare
from ops_wasm32.convert import Array
from ops_wasm32.draw import random_inputs
from ops_wasm32.exact import PLAIN, PRECISE, exact_session
from ops_wasm32.model import Model, Tensor
from small_model import IMAGE, TARGET, SmallModel
from test_command import fails, run

from toolchain.graph.build import Place
from toolchain.model.build import Options, build_model
from toolchain.recipe import Net


def test_verify_passes(capsys: pytest.CaptureFixture[str], small: SmallModel) -> None:
    words = ("verify", small.external, "--against", small.file)
    code, out, _ = run(capsys, *words, "--seed", "3", "--max-int", "3")
    assert (0, 2) == (code, out.count("  pass\n"))


def test_verify_fails(
    capsys: pytest.CaptureFixture[str], small: SmallModel, tmp_path: Path
) -> None:
    model = onnx.load(small.file)
    for weight in model.graph.initializer:
        if list(weight.dims) == [10]:  # the bias of the last layer
            bias = onnx.numpy_helper.to_array(weight) + np.float32(0.5)
            weight.CopyFrom(onnx.numpy_helper.from_array(bias, weight.name))
    changed, inputs = tmp_path / "changed.onnx", tmp_path / "inputs.npz"
    onnx.save(model, changed)
    np.savez(inputs, image=IMAGE, kind=np.array([1]))
    words = ("verify", small.embedded, "--against", changed, "-i", inputs)
    code, out, _ = run(capsys, *words)
    lines = out.splitlines()[1:]  # after what it is compared with
    assert 1 == code
    assert "FAIL" in lines[1]
    assert np.isclose(0.5, float(lines[1].split()[1]), atol=1e-3)
    # The same to all logits changes no probability.
    assert lines[2].endswith("pass")
    assert 0 == run(capsys, *words, "--bound", "1")[0]


def test_verify_of_other_files(
    capsys: pytest.CaptureFixture[str], small: SmallModel, tmp_path: Path
) -> None:
    words = ("verify", small.embedded, "--against")
    assert "there is no such file" in fails(capsys, *words, tmp_path / "none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    assert f"--against {bad}" in fails(capsys, *words, bad)
    few = "--max-int", str(1 << 63)
    assert "input kind is int64" in fails(capsys, *words, small.file, *few)


def test_verify_without_onnx_runtime(
    capsys: pytest.CaptureFixture[str],
    small: SmallModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    err = fails(capsys, "verify", small.embedded, "--against", small.file)
    assert "pip install onnxruntime" in err


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], (0, 0)),
        ([3, 4.5], [3, 4], (0.5, 0.125)),
        # Beside others an element is as large as their mean square.
        ([3, 4, 1, 0], [3, 4, 0, 0], (1, 0.4)),
        ([3, 4, 0, 1e-3], [3, 4, 0, 0], (1e-3, 4e-4)),
        # A single element has no range, and equal elements have none.
        ([2.5], [2], (0.5, 0.25)),
        ([-2, -2.5], [-2, -2], (0.5, 0.25)),
        ([1], [0], (1, np.inf)),
        ([np.nan, np.inf], [np.nan, np.inf], (0, 0)),
        ([np.nan, 1], [0, 1], (np.inf, np.inf)),
        ([1, np.inf], [np.inf, np.inf], (np.inf, np.inf)),
        ([1, 1], [np.inf, 1], (np.inf, np.inf)),
        ([np.inf, 1], [1e30, 1], (np.inf, np.inf)),
    ],
)
def test_errors_are_relative(
    found: list[float], wanted: list[float], expected: tuple[float, float]
) -> None:
    assert expected == compare(np.array(found), np.array(wanted))


def test_a_model_with_one_result_passes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its result has no range."""
    net = Net("one")
    x = net.op("Tanh", net.dense(net.input("x", (1, 40)), (40, 1)))
    onnx.save(net.model(y=(x, (1, 1))), tmp_path / "one.onnx")
    place, options = Place(tmp_path, tmp_path / "cache"), Options(TARGET)
    build_model(
        tmp_path / "one.onnx", options, place, runtime_objects(TARGET), lambda _: None
    )
    words = ("verify", tmp_path / "one.wasm", "--against", tmp_path / "one.onnx")
    code, out, _ = run(capsys, *words)
    assert (0, 1) == (code, out.count("  pass\n"))


def product_of_bytes() -> tuple[onnx.ModelProto, Array]:
    """Products of uint8 by int8 whose pairs do not fit in 16 bits."""
    weights = np.random.default_rng(0).choice(np.array([-127, 127], "int8"), (32, 8))
    net = Net("bytes")
    x, zero = net.input("x", (4, 32), "uint8"), net.constant(np.array(0, "uint8"))
    y = net.op("MatMulInteger", x, net.constant(weights), zero)
    return net.model(y=(net.op("Cast", y, to=1), (4, 8))), weights


def test_products_of_bytes_are_exact(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """On processors without VNNI ONNX Runtime saturates them by default."""
    model, weights = product_of_bytes()
    file = tmp_path / "bytes.onnx"
    onnx.save(model, file)
    place, options = Place(tmp_path, tmp_path / "cache"), Options(TARGET)
    build_model(file, options, place, runtime_objects(TARGET), lambda _: None)
    words = ("verify", tmp_path / "bytes.wasm", "--against", file)
    code, out, _ = run(capsys, *words)
    assert (0, True) == (code, f"ONNX Runtime, {PRECISE}" in out)
    x = np.full((4, 32), 255, "uint8")
    wanted = (x.astype("int64") @ weights).astype("float32")
    session, _ = exact_session(file)
    assert wanted.tolist() == session.run(None, {"x": x})[0].tolist()
    assert wanted.tolist() == ops_wasm32.load(tmp_path / "bytes.wasm")(x).tolist()


def test_a_file_that_exact_kernels_refuse_runs_without_optimisations(
    monkeypatch: pytest.MonkeyPatch, small: SmallModel
) -> None:
    session = onnxruntime.InferenceSession

    def refuse(
        source: str, options: onnxruntime.SessionOptions, **rest: object
    ) -> onnxruntime.InferenceSession:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if options.graph_optimization_level != level:
            raise RuntimeError("NOT_IMPLEMENTED")
        return session(source, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    assert PLAIN == exact_session(small.file)[1]


def test_integers_of_8_bits_are_drawn_from_all() -> None:
    tensors = (Tensor("a", "uint8", (9999,)), Tensor("b", "int8", (9999,)))
    a, b = random_inputs(Model("m", tensors, (), None), 0, 1)
    assert (0, 255, -128, 127) == (a.min(), a.max(), b.min(), b.max())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--seed", "-1"], "argument --seed: -1 is below 0; give 0 or more"),
        (["--bound", "nan"], "argument --bound: nan is no bound; give 0 or more"),
        (["--bound=-1"], "argument --bound: -1 is no bound; give 0 or more"),
    ],
)
def test_verify_refuses_numbers(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "net.wasm", "--against", "net.onnx", *words])
    assert text in capsys.readouterr().err
