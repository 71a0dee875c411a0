"""Models in the hosts: Python, the command, the traced module, Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from numpy.typing import NDArray
from ops_wasm32.__main__ import main
from ops_wasm32.command_verify import compare, random_inputs
from ops_wasm32.exact import PLAIN, PRECISE, exact_session
from ops_wasm32.model import Model, Tensor, model_of
from test_command import fails, run

from bench.library import Call, Wasmtime
from bench.trace import page
from toolchain.link.clang import compile_c
from toolchain.model.build import Options, build_model
from toolchain.model.compile import Place
from toolchain.model.trace import build_trace
from toolchain.profile import ROOT
from toolchain.recipe import Net
from toolchain.targets import TARGETS

TARGET = "simd128"  # any Node takes it
IMAGE = np.random.default_rng(0).standard_normal((1, 1, 12, 12), np.float32)


def small() -> Any:
    """A convolution, a pool, a dense layer; an int64 input; two outputs."""
    net = Net("net")
    x = net.input("image", (1, 1, 12, 12))
    kind = net.input("kind", (1,), "int64")
    y = net.op("Relu", net.conv(x, (1, 8), 3, bias=True))
    y = net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = net.dense(net.op("Flatten", y), (8 * 36, 10))
    table = net.normal((4, 10), 1.0)
    logits = net.op("Add", y, net.op("Gather", table, kind))
    probabilities = net.op("Softmax", logits, axis=-1)
    return net.model(logits=(logits, (1, 10)), probabilities=(probabilities, (1, 10)))


class Built:
    """The model built in every form, in a folder of its own."""

    def __init__(self, folder: Path, runtime: list[Path]) -> None:
        self.file = folder / "net_int8.onnx"  # a name that ends as kernels' do
        onnx.save(small(), self.file)
        cache = folder / "cache"
        for name in ("embedded", "external"):
            options = Options(TARGET, external=name == "external")
            place = Place(folder / name, cache)
            build_model(self.file, options, place, runtime, lambda _: None)
        self.embedded = folder / "embedded" / "net_int8.wasm"
        self.external = folder / "external" / "net_int8.wasm"
        place = Place(folder / "trace", cache)
        options = Options(TARGET)
        self.trace = build_trace(self.file, options, place, runtime, lambda _: None)

    def wanted(self, kind: int) -> list[NDArray[Any]]:
        """What ONNX Runtime gives for IMAGE."""
        session, _ = exact_session(self.file)
        return list(session.run(None, {"image": IMAGE, "kind": np.array([kind])}))

    def near(self, found: NDArray[Any], wanted: NDArray[Any]) -> bool:
        """Whether results are within the bound that the manifest says."""
        manifest = json.loads(self.embedded.with_suffix(".manifest.json").read_text())
        return compare(found, wanted)[1] <= float(manifest["tolerance"])


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Objects of the C runtime."""
    folder, objects = tmp_path_factory.mktemp("runtime"), []
    for source in sorted((ROOT / "runtime_stub").glob("*.c")):
        objects.append(folder / f"{source.stem}.o")
        compile_c(source, TARGETS[TARGET], objects[-1])
    return objects


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, runtime: list[Path]) -> Built:
    return Built(tmp_path_factory.mktemp("models_host"), runtime)


@pytest.fixture(params=["embedded", "external"])
def wasm(built: Built, request: pytest.FixtureRequest) -> Path:
    path: Path = getattr(built, request.param)
    return path


@pytest.fixture
def moved(built: Built, tmp_path: Path) -> Path:
    """A copy of the module whose weights are beside it, to be spoiled."""
    for path in built.external.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "net_int8.wasm"


# Calls


def test_a_model_is_called(built: Built, wasm: Path) -> None:
    library = ops_wasm32.load(wasm)
    for kind in (2, 0):  # the weights stay for the second call
        result = library(IMAGE, np.array([kind]))
        wanted = built.wanted(kind)
        assert ("logits", "probabilities") == result._fields
        assert built.near(result.logits, wanted[0])
        assert built.near(result.probabilities, wanted[1])


def test_inputs_by_name_and_as_lists(wasm: Path) -> None:
    library = ops_wasm32.load(wasm)
    first = library(IMAGE, np.array([1]))
    second = library(kind=[1], image=IMAGE.tolist())
    third = library.call("net_int8", IMAGE[:, :, ::-1][:, :, ::-1], kind=[1])
    assert first.logits.tobytes() == second.logits.tobytes() == third[0].tobytes()


def test_a_model_is_the_one_operator_of_its_module(wasm: Path) -> None:
    library = ops_wasm32.load(wasm)
    shapes = library.infer("net_int8", IMAGE, [0])
    assert ["net_int8"] == library.operators()
    assert [((1, 10), "float32")] * 2 == shapes


@pytest.mark.parametrize(
    ("arguments", "named", "text"),
    [
        ((), {"picture": IMAGE}, "input 'picture' is unknown; use image, kind"),
        ((IMAGE,), {"image": IMAGE}, "by its position and by its name"),
        ((IMAGE,), {}, "inputs are missing: kind: int64 1"),
        ((IMAGE, [0], [0]), {}, "got 3 inputs; it takes 2: image, kind"),
        ((IMAGE[:, :, 1:], [0]), {}, "image has shape (1, 1, 11, 12); it takes (1, 1,"),
        ((IMAGE, 0), {}, "input kind has shape (); it takes (1,)"),
        ((IMAGE.astype("float64"), [0]), {}, 'image.astype("float32")'),
        ((IMAGE, [0.5]), {}, "0.5 is no whole number"),
        (("image.png", [0]), {}, "image is a str"),
    ],
)
def test_wrong_inputs_are_named(
    wasm: Path, arguments: tuple[Any, ...], named: dict[str, Any], text: str
) -> None:
    library = ops_wasm32.load(wasm)
    with pytest.raises(ops_wasm32.ArgumentError) as caught:
        library(*arguments, **named)
    assert str(caught.value).startswith("net_int8: ")
    assert text in str(caught.value)


def test_a_library_of_operators_is_not_called(tmp_path: Path) -> None:
    with pytest.raises(ops_wasm32.ArgumentError, match="holds no model to call"):
        ops_wasm32.load()(IMAGE)


# Weights


def _text(path: Path) -> str:
    with pytest.raises(ops_wasm32.ModuleError) as caught:
        ops_wasm32.load(path)
    return str(caught.value)


def test_weights_that_are_missing(moved: Path) -> None:
    moved.with_suffix(".safetensors").unlink()
    assert "net_int8.safetensors are missing" in _text(moved)


def test_weights_of_another_size(moved: Path) -> None:
    weights = moved.with_suffix(".safetensors")
    manifest = json.loads(moved.with_suffix(".manifest.json").read_text())
    size = manifest["weights"]["bytes"]
    weights.write_bytes(weights.read_bytes()[:-1])
    assert f"holds {size - 1} bytes of weights" in _text(moved)
    weights.write_bytes(b"")
    assert "holds 0 bytes of weights" in _text(moved)


def test_weights_of_another_model(moved: Path) -> None:
    weights = moved.with_suffix(".safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "has sha256" in _text(moved)


def test_weights_are_a_safetensors_file(built: Built) -> None:
    data = built.external.with_suffix(".safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + size])
    spans = sorted(e["data_offsets"] for e in entries.values())
    assert [0, *(end for _, end in spans[:-1])] == [start for start, _ in spans]
    assert len(data) - 8 - size == spans[-1][1]


@pytest.mark.parametrize(
    "change",
    [
        {"model": 5},
        {"inputs": [{"name": "x"}]},
        {"weights": {"file": "../x.safetensors", "bytes": 1, "sha256": ""}},
        {"outputs": [{"name": "x", "dtype": "float32", "shape": [-1]}]},
    ],
)
def test_a_damaged_description_is_refused(built: Built, change: Any) -> None:
    manifest = json.loads(built.embedded.with_suffix(".manifest.json").read_text())
    with pytest.raises(ops_wasm32.ModuleError, match="its manifest is damaged"):
        model_of(manifest | change, "net.wasm")


# The command


def test_info_shows_a_model(capsys: pytest.CaptureFixture[str], built: Built) -> None:
    code, out, _ = run(capsys, "info", built.external)
    assert 0 == code
    assert "in   image  float32 1x1x12x12" in out
    assert "in   kind   int64 1" in out
    assert "out  logits         float32 1x10" in out
    assert ", in net_int8.safetensors" in out
    assert "arena:" in out
    assert "in the module" in run(capsys, "info", built.embedded)[1]


def test_run_of_a_model(
    capsys: pytest.CaptureFixture[str], built: Built, tmp_path: Path
) -> None:
    named, ordered = tmp_path / "named.npz", tmp_path / "ordered.npz"
    np.savez(named, kind=np.array([2]), image=IMAGE)
    np.savez(ordered, IMAGE, np.array([2]))
    out = tmp_path / "out.npz"
    assert 0 == run(capsys, "run", built.external, "-i", named, "-o", out)[0]
    with np.load(out) as found:
        assert built.near(found["logits"], built.wanted(2)[0])
    code, text, _ = run(capsys, "run", "-c", built.embedded, "-i", ordered)
    assert 0 == code
    assert built.near(np.array(json.loads(text)["logits"]), built.wanted(2)[0])
    err = fails(capsys, "run", built.embedded, "-i", named, "axis=1")
    assert "takes no attributes" in err
    assert "holds the model net_int8 alone" in fails(
        capsys, "run", built.embedded, "-i", named, "-o", "softmax"
    )


def test_verify_passes(capsys: pytest.CaptureFixture[str], built: Built) -> None:
    words = ("verify", built.external, "--against", built.file)
    code, out, _ = run(capsys, *words, "--seed", "3", "--max-int", "3")
    assert (0, 2) == (code, out.count("  pass\n"))


def test_verify_fails(
    capsys: pytest.CaptureFixture[str], built: Built, tmp_path: Path
) -> None:
    model = onnx.load(built.file)
    for weight in model.graph.initializer:
        if list(weight.dims) == [10]:  # the bias of the last layer
            bias = onnx.numpy_helper.to_array(weight) + np.float32(0.5)
            weight.CopyFrom(onnx.numpy_helper.from_array(bias, weight.name))
    changed, inputs = tmp_path / "changed.onnx", tmp_path / "inputs.npz"
    onnx.save(model, changed)
    np.savez(inputs, image=IMAGE, kind=np.array([1]))
    words = ("verify", built.embedded, "--against", changed, "-i", inputs)
    code, out, _ = run(capsys, *words)
    lines = out.splitlines()[1:]  # after what it is compared with
    assert 1 == code
    assert "FAIL" in lines[1]
    assert np.isclose(0.5, float(lines[1].split()[1]), atol=1e-3)
    # The same to all logits changes no probability.
    assert lines[2].endswith("pass")
    assert 0 == run(capsys, *words, "--bound", "1")[0]


def test_verify_of_other_files(
    capsys: pytest.CaptureFixture[str], built: Built, tmp_path: Path
) -> None:
    words = ("verify", built.embedded, "--against")
    assert "there is no such file" in fails(capsys, *words, tmp_path / "none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    assert f"--against {bad}" in fails(capsys, *words, bad)
    few = "--max-int", str(1 << 63)
    assert "input kind is int64" in fails(capsys, *words, built.file, *few)


def test_verify_without_onnx_runtime(
    capsys: pytest.CaptureFixture[str], built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    err = fails(capsys, "verify", built.embedded, "--against", built.file)
    assert "pip install onnxruntime" in err


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], (0, 0)),
        ([3, 4.5], [3, 4], (0.5, 0.125)),
        # Beside others an element is as large as their mean square.
        ([3, 4, 1, 0], [3, 4, 0, 0], (1, 0.4)),
        ([3, 4, 0, 1e-3], [3, 4, 0, 0], (1e-3, 4e-4)),
        # One element has no range, and equal ones have none.
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
    capsys: pytest.CaptureFixture[str], tmp_path: Path, runtime: list[Path]
) -> None:
    """Its result has no range."""
    net = Net("one")
    x = net.op("Tanh", net.dense(net.input("x", (1, 40)), (40, 1)))
    onnx.save(net.model(y=(x, (1, 1))), tmp_path / "one.onnx")
    place, options = Place(tmp_path, tmp_path / "cache"), Options(TARGET)
    build_model(tmp_path / "one.onnx", options, place, runtime, lambda _: None)
    words = ("verify", tmp_path / "one.wasm", "--against", tmp_path / "one.onnx")
    code, out, _ = run(capsys, *words)
    assert (0, 1) == (code, out.count("  pass\n"))


def product_of_bytes() -> Any:
    """Products of uint8 by int8 whose pairs do not fit in 16 bits."""
    weights = np.random.default_rng(0).choice(np.array([-127, 127], "int8"), (32, 8))
    net = Net("bytes")
    x, zero = net.input("x", (4, 32), "uint8"), net.constant(np.array(0, "uint8"))
    y = net.op("MatMulInteger", x, net.constant(weights), zero)
    return net.model(y=(net.op("Cast", y, to=1), (4, 8))), weights


def test_products_of_bytes_are_exact(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, runtime: list[Path]
) -> None:
    """On processors without VNNI ONNX Runtime saturates them by default."""
    model, weights = product_of_bytes()
    file = tmp_path / "bytes.onnx"
    onnx.save(model, file)
    place, options = Place(tmp_path, tmp_path / "cache"), Options(TARGET)
    build_model(file, options, place, runtime, lambda _: None)
    words = ("verify", tmp_path / "bytes.wasm", "--against", file)
    code, out, _ = run(capsys, *words)
    assert (0, True) == (code, f"ONNX Runtime, {PRECISE}" in out)
    x = np.full((4, 32), 255, "uint8")
    wanted = (x.astype("int64") @ weights).astype("float32")
    session, _ = exact_session(file)
    assert wanted.tolist() == session.run(None, {"x": x})[0].tolist()
    assert wanted.tolist() == ops_wasm32.load(tmp_path / "bytes.wasm")(x).tolist()


def test_a_file_that_exact_kernels_refuse_runs_without_optimisations(
    monkeypatch: pytest.MonkeyPatch, built: Built
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession

    def refuse(source: str, options: Any, **rest: Any) -> Any:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if options.graph_optimization_level != level:
            raise RuntimeError("NOT_IMPLEMENTED")
        return session(source, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    assert PLAIN == exact_session(built.file)[1]


def test_integers_of_8_bits_are_drawn_from_all() -> None:
    tensors = (Tensor("a", "uint8", (9999,)), Tensor("b", "int8", (9999,)))
    a, b = random_inputs(Model("m", tensors, (), None), 0, 1)
    assert (0, 255, -128, 127) == (a.min(), a.max(), b.min(), b.max())


# The trace


def test_steps_of_a_traced_model_run_one_by_one(built: Built) -> None:
    trace = json.loads(built.trace.read_text())
    count = len(trace["steps"])
    host = Wasmtime(built.trace.with_name("net_int8.wasm"))
    arena = np.zeros(trace["arena"], np.uint8)
    none = np.array([0, 0], np.int32)
    outputs = (("float32", (1, 10)),) * 2
    host.prepare(Call("net_int8", (IMAGE, np.array([2]), arena, none), outputs))
    assert not host.results()[0].any()  # nothing has run yet
    for i in range(count):
        host.write(3, np.array([i, i + 1], np.int32))
        host.run(2)  # steps may repeat: none writes where it reads
    for found, wanted in zip(host.results(), built.wanted(2), strict=True):
        assert built.near(found, wanted)


def test_a_trace_counts_operations_and_memory(built: Built) -> None:
    trace = json.loads(built.trace.read_text())
    work = {s["label"]: s["operations"] for s in trace["steps"] if s["operations"]}
    assert {"conv_packed": 2 * 9 * 8 * 144, "matmul_packed": 2 * 288 * 10} == work
    assert trace["lower_bound"] == max(s["live"] for s in trace["steps"])
    ends = [b["offset"] + b["bytes"] for b in trace["blocks"]]
    assert trace["arena"] - 64 < max(ends) <= trace["arena"]


def test_the_page_of_a_trace_stands_alone(built: Built) -> None:
    folder = built.trace.parent
    command = [sys.executable, "-m", "bench.trace", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    text = (folder / "trace.html").read_text()
    trace = json.loads(built.trace.read_text())
    assert page(trace) == text
    assert len(trace["steps"]) == text.count('<tr id="s')
    assert len(trace["blocks"]) == text.count('class="block"')
    edges = {
        (t["from"], i)
        for i, step in enumerate(trace["steps"])
        for t in step["inputs"]
        if isinstance(t["from"], int)
    }
    assert edges
    assert len(edges) == text.count('class="edge"')
    links = text.replace("http://www.w3.org/1999/xhtml", "")
    assert not [w for w in ("http", "src=", "url(", "<script") if w in links]


# Node


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_a_model_in_node(wasm: Path, built: Built) -> None:
    script = f"""
import {{ load }} from {json.dumps((ROOT / "embed/js/ops_wasm32.mjs").as_uri())};
const model = await load({json.dumps(str(wasm))});
const image = new Float32Array({json.dumps(IMAGE.ravel().tolist())});
const kind = new BigInt64Array([2n]);
const failed = (inputs) => {{
  try {{ model.run(inputs); }} catch (error) {{ return error.message; }}
}};
const results = [1, 2].map(() => [...model.run({{ image, kind }}).logits]);
const errors = [failed({{ picture: image }}), failed({{ image, kind: image }}),
  failed({{ image }})];
console.log(JSON.stringify([results, errors]));
"""
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    results, errors = json.loads(done.stdout)
    assert built.near(np.array(results[0])[None], built.wanted(2)[0])
    library = ops_wasm32.load(wasm)
    logits = library(IMAGE, [2]).logits.ravel()
    assert logits.tolist() == results[0] == results[1]  # bit for bit
    assert "input picture is unknown; use image, kind" == errors[0]
    assert "give a BigInt64Array of 1: int64 1" in errors[1]
    assert errors[2].startswith("input kind is no array")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_wrong_weights_in_node(moved: Path) -> None:
    weights = moved.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    script = f"""
import {{ load }} from {json.dumps((ROOT / "embed/js/ops_wasm32.mjs").as_uri())};
await load({json.dumps(str(moved))});
"""
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode
    assert "net_int8.safetensors: has sha256" in done.stderr


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
