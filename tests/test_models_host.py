"""Models in the hosts: Python, the command, the traced module, Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from ops_wasm32.model import model_of
from small_model import IMAGE, SmallModel
from test_command import fails, run

from toolchain.profile import ROOT


@pytest.fixture(params=["embedded", "external"])
def wasm(small: SmallModel, request: pytest.FixtureRequest) -> Path:
    path: Path = getattr(small, request.param)
    return path


@pytest.fixture
def moved(small: SmallModel, tmp_path: Path) -> Path:
    """A copy of the module whose weights are beside it, to be spoiled."""
    for path in small.external.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "net_int8.wasm"


# Calls


def test_a_model_is_called(small: SmallModel, wasm: Path) -> None:
    library = ops_wasm32.load(wasm)
    for kind in (2, 0):  # the weights stay for the second call
        result = library(IMAGE, np.array([kind]))
        wanted = small.wanted(kind)
        assert ("logits", "probabilities") == result._fields
        assert small.near(result.logits, wanted[0])
        assert small.near(result.probabilities, wanted[1])


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


def test_weights_are_a_safetensors_file(small: SmallModel) -> None:
    data = small.external.with_suffix(".safetensors").read_bytes()
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
def test_a_damaged_description_is_refused(small: SmallModel, change: Any) -> None:
    manifest = json.loads(small.embedded.with_suffix(".manifest.json").read_text())
    with pytest.raises(ops_wasm32.ModuleError, match="its manifest is damaged"):
        model_of(manifest | change, "net.wasm")


# The command


def test_info_shows_a_model(
    capsys: pytest.CaptureFixture[str], small: SmallModel
) -> None:
    code, out, _ = run(capsys, "info", small.external)
    assert 0 == code
    assert "in   image  float32 1x1x12x12" in out
    assert "in   kind   int64 1" in out
    assert "out  logits         float32 1x10" in out
    assert ", in net_int8.safetensors" in out
    assert "arena:" in out
    assert "in the module" in run(capsys, "info", small.embedded)[1]


def test_run_of_a_model(
    capsys: pytest.CaptureFixture[str], small: SmallModel, tmp_path: Path
) -> None:
    named, ordered = tmp_path / "named.npz", tmp_path / "ordered.npz"
    np.savez(named, kind=np.array([2]), image=IMAGE)
    np.savez(ordered, IMAGE, np.array([2]))
    out = tmp_path / "out.npz"
    assert 0 == run(capsys, "run", small.external, "-i", named, "-o", out)[0]
    with np.load(out) as found:
        assert small.near(found["logits"], small.wanted(2)[0])
    code, text, _ = run(capsys, "run", "-c", small.embedded, "-i", ordered)
    assert 0 == code
    assert small.near(np.array(json.loads(text)["logits"]), small.wanted(2)[0])
    err = fails(capsys, "run", small.embedded, "-i", named, "axis=1")
    assert "takes no attributes" in err
    assert "holds the model net_int8 alone" in fails(
        capsys, "run", small.embedded, "-i", named, "-o", "softmax"
    )


# Node


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_a_model_in_node(wasm: Path, small: SmallModel) -> None:
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
    assert small.near(np.array(results[0])[None], small.wanted(2)[0])
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
