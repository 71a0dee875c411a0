"""`doit model` on files of open sizes, and their modules in Python, Node and C."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from compiling import compiled
from ops_wasm32.convert import Array
from test_command import run
from test_open_hosts import needs_node, node

from toolchain.profile import ROOT

CALLS = 1_000
TABLE = np.random.default_rng(0).standard_normal((8, 4), np.float32)
make, FLOAT, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    weights = [onnx.numpy_helper.from_array(TABLE, "table")]
    graph = make.make_graph(nodes, "net", inputs, outputs, weights)
    opset = [make.make_opsetid("", 18)]
    onnx.save(make.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def open_file(folder: Path) -> Path:
    """Y = softmax(x @ table) + bias, whose sizes are names or nothing."""
    inputs = [
        make.make_tensor_value_info("x", FLOAT, ["batch", "my seq", 8]),
        make.make_tensor_value_info("bias", FLOAT, [None]),
    ]
    nodes = [
        make.make_node("MatMul", ["x", "table"], ["product"]),
        make.make_node("Softmax", ["product"], ["shares"]),
        make.make_node("Add", ["shares", "bias"], ["y"]),
    ]
    outputs = [make.make_tensor_value_info("y", FLOAT, None)]
    return save(folder / "net.onnx", nodes, inputs, outputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("open")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return open_file(folder)


@pytest.fixture(scope="module")
def wasm(folder: Path, file: Path) -> Path:
    dims = ["my seq=1..512", "bias.0=4"]
    failed = compiled(file=str(file), out=str(folder), dim=dims, archive=True)
    assert failed is None, failed.message
    return folder / "net.wasm"


def wanted(x: Array, bias: Array) -> Array:
    product = x.astype(float) @ TABLE
    shares = np.exp(product - product.max(axis=-1, keepdims=True))
    result: Array = shares / shares.sum(axis=-1, keepdims=True) + bias
    return result


def test_a_call_decides_sizes(wasm: Path) -> None:
    net, draw = ops_wasm32.load(wasm), np.random.default_rng(1)
    assert {"batch": (0, 2147483647), "my_seq": (1, 512)} == dict(net.sizes)
    assert ("batch", "my_seq", 4) == net.outputs[0].shape
    assert (4,) == net.inputs[1].shape
    bias = draw.standard_normal(4, np.float32)
    for batch, seq in ((2, 3), (1, 512), (5, 1), (0, 7), (2, 3)):
        x = draw.standard_normal((batch, seq, 8), np.float32)
        assert [((batch, seq, 4), "float32")] == net.infer("net", x, bias)
        np.testing.assert_allclose(net(x, bias), wanted(x, bias), rtol=1e-5)
    with pytest.raises(ops_wasm32.ArgumentError, match="size 513, but my_seq is 1 to"):
        net(np.zeros((1, 513, 8), np.float32), bias)


def test_memory_does_not_grow(wasm: Path) -> None:
    net, draw = ops_wasm32.load(wasm), np.random.default_rng(2)
    bias = np.zeros(4, np.float32)
    net(np.ones((16, 64, 8), np.float32), bias)
    memory = net._instance._memory
    size = memory.data_len(net._instance._store)
    for _ in range(CALLS):
        shape = draw.integers(0, 17), draw.integers(1, 65)
        assert (*shape, 4) == net(np.ones((*shape, 8), np.float32), bias).shape
    assert size == memory.data_len(net._instance._store)


def test_verify_takes_it(
    capsys: pytest.CaptureFixture[str], wasm: Path, file: Path
) -> None:
    words = ("--against", file, "--dim", "my_seq=7", "--dim", "batch=2")
    code, out, _ = run(capsys, "verify", wasm, *words)
    assert (0, 1) == (code, out.count("batch=2 my_seq=7\n"))


@needs_node
def test_node_takes_it(wasm: Path) -> None:
    script = """
const bias = new Float32Array(4);
const first = model.run({ x: of(2, 3, 8), bias }).y;
const second = model.run({ x: new Float32Array(24), bias });
"""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        node(wasm, script)  # batch and my_seq are both open
    assert "give { data, shape } with a Float32Array" in str(caught.value.stderr)
    script = script.splitlines()[2]
    found = node(
        wasm,
        "const bias = new Float32Array(4);"
        f"{script}; console.log(JSON.stringify([first.shape, [...first]]));",
    )
    assert [2, 3, 4] == found[0]
    x = np.ones((2, 3, 8), np.float32)
    assert (
        ops_wasm32.load(wasm)(x, np.zeros(4, np.float32)).ravel().tolist() == found[1]
    )


PROGRAM = """
#include <ops_wasm32.h>
#include <stdio.h>
extern const ops_operator ops_net;
int main(void) {
  static float elements[2 * 3 * 8], bias[4];
  int64_t room[OPS_MAX_RANK];
  DLTensor x = {elements, {1, 0}, 3, {2, 32, 1}, (int64_t[]){2, 3, 8}}, b = x, y = x;
  b.data = bias, b.ndim = 1, b.shape = (int64_t[]){4};
  y.data = NULL, y.shape = room;
  TVMFFIAny args[] = {{OPS_KIND_TENSOR, 0, {.v_tensor = &x}},
                      {OPS_KIND_TENSOR, 0, {.v_tensor = &b}},
                      {OPS_KIND_TENSOR, 0, {.v_tensor = &y}}};
  if (ops_call_operator(&ops_net, args, 3)) return puts(ops_last_error());
  printf("%u: %d %d %d %d %.2f\\n", ops_abi_version(), y.ndim, (int)room[0],
         (int)room[1], (int)room[2], ((float *)y.data)[23]);
  return ops_free(y.data);
}
"""


def test_c_takes_it(wasm: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(PROGRAM)
    words = ["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O1"]
    words += [f"-I{ROOT / 'build/simd128/include'}", f"-L{wasm.parent}", "main.c"]
    words += ["-lnet", "-o", "main.wasm"]
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    runner = ROOT / "examples/c/run_wasi.py"
    done = subprocess.run(
        [sys.executable, runner, tmp_path / "main.wasm"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "2: 3 2 3 4 0.25\n" == done.stdout


def test_weights_may_lie_beside(wasm: Path, file: Path, tmp_path: Path) -> None:
    given = {"file": str(file), "out": str(tmp_path), "weights": "external"}
    assert compiled(**given) is None
    assert (tmp_path / "net.safetensors").exists()
    x, bias = np.ones((2, 3, 8), np.float32), np.ones(4, np.float32)
    found = ops_wasm32.load(tmp_path / "net.wasm")
    assert {"batch", "my_seq", "bias_0"} == set(found.sizes)
    assert ops_wasm32.load(wasm)(x, bias).tobytes() == found(x, bias).tobytes()
    if needs_node.args[0]:
        return
    script = "const y = model.run({ x: of(2, 3, 8), bias: of(4) }).y;"
    shown = node(tmp_path / "net.wasm", f"{script} console.log(JSON.stringify([...y]))")
    assert found(x, bias).ravel().tolist() == shown


def test_all_sizes_known_have_memory_planned_ahead(file: Path, tmp_path: Path) -> None:
    dims = ["batch=1", "my_seq=2", "bias.0=4"]
    assert compiled(file=str(file), out=str(tmp_path), dim=dims) is None
    manifest = json.loads((tmp_path / "net.manifest.json").read_text())
    assert (1, [1, 2, 8]) == (manifest["abi_version"], manifest["inputs"][0]["shape"])
    assert manifest["memory"]["arena"] >= 0


def test_what_only_a_call_knows(tmp_path: Path) -> None:
    inputs = [make.make_tensor_value_info("x", FLOAT, [3, 4])]
    outputs = [make.make_tensor_value_info("y", INT64, [2, None])]
    nodes = [make.make_node("NonZero", ["x"], ["y"])]
    path = save(tmp_path / "places.onnx", nodes, inputs, outputs)
    assert compiled(file=str(path), out=str(tmp_path)) is None
    net = ops_wasm32.load(tmp_path / "places.wasm")
    x = np.eye(3, 4, dtype=np.float32)
    assert np.array(np.nonzero(x)).tolist() == net(x).tolist()
    assert (2, 0) == net(0 * x).shape


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dim": ["batch=4..1"]}, "--dim batch=4..1: is no range of sizes; give the"),
        ({"dim": ["batch=1.."]}, "as in --dim batch=1, or bounds, as in --dim seq=1.."),
        ({"dim": ["n=1..2"]}, "no open size is named 'n' (--dim); names: batch, my"),
        (
            {"dim": ["batch=1..2"], "shape": ["x=3,1,8"]},
            "--dim batch=1..2: the shapes given have 3",
        ),
    ],
)
def test_mistakes_are_named(
    options: dict[str, Any], text: str, file: Path, tmp_path: Path
) -> None:
    failed = compiled(file=str(file), out=str(tmp_path), **options)
    assert failed is not None
    assert text in failed.message


def test_what_neither_form_takes_is_named_once(tmp_path: Path) -> None:
    inputs = [make.make_tensor_value_info("x", FLOAT, [3])]
    nodes = [make.make_node("NoSuchOperator", ["x"], ["y"])]
    outputs = [make.make_tensor_value_info("y", FLOAT, None)]
    path = save(tmp_path / "net.onnx", nodes, inputs, outputs)
    failed = compiled(file=str(path), out=str(tmp_path))
    assert failed is not None
    assert 1 == failed.message.count("NoSuchOperator, node 0 (of y)")
