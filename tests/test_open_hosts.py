"""Models with open sizes in the hosts: Python, the command, Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from open_module import MANIFEST_OF_NET, write_open_module
from ops_wasm32.convert import Array
from test_command import fails, run

from toolchain.profile import ROOT

CALLS = 10_000
LARGEST = (64, 512)


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_open_module(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def net(wasm: Path) -> ops_wasm32.Library:
    return ops_wasm32.load(wasm)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


# Python


def test_results_have_their_shapes(net: ops_wasm32.Library) -> None:
    x = np.array([[1, 0, 2], [0, 0, 3]], np.float32)
    found = net(x, mask=x)
    assert (2 * x).tolist() == found.sum.tolist()
    assert [[0, 0], [0, 2], [1, 2]] == found.where.tolist()
    assert [((2, 3), "float32"), ((6, 2), "int64")] == net.infer("net", x, x)
    empty = net(ones(0, 5), ones(0, 5))
    assert ((0, 5), (0, 2)) == (empty.sum.shape, empty.where.shape)
    assert (0, 2) == net(0 * x, x).where.shape


def test_a_model_shows_its_sizes(net: ops_wasm32.Library) -> None:
    assert ["x: float32 [batch, seq]", "mask: float32 [batch, seq]"] == [
        str(t) for t in net.inputs
    ]
    assert ("?", 2) == net.outputs[1].shape
    assert {"batch": (0, 2147483647), "seq": (1, 512)} == dict(net.sizes)
    with pytest.raises(ops_wasm32.ArgumentError, match="holds no model to call"):
        _ = ops_wasm32.load().sizes


def test_memory_does_not_grow(wasm: Path) -> None:
    """Results, and inputs of earlier calls, leave no block behind."""
    net, draw = ops_wasm32.load(wasm), np.random.default_rng(0)
    net(ones(*LARGEST), ones(*LARGEST))
    memory = net._instance._memory
    size = memory.data_len(net._instance._store)
    for _ in range(CALLS):
        rows, columns = draw.integers(0, LARGEST[0] + 1), draw.integers(1, 9)
        x = np.full((rows, columns), draw.integers(0, 2), np.float32)
        found = net(x, x)
        assert (rows, columns) == found.sum.shape
        assert np.count_nonzero(x) == len(found.where)
    assert size == memory.data_len(net._instance._store)


WRONG: list[tuple[Callable[[], tuple[Any, ...]], str]] = [
    (lambda: (ones(3), ones(3)), "input x has shape (3,); it takes [batch, seq]"),
    (
        lambda: (ones(1, 3), ones(2, 3)),
        "axis 0 of input mask has size 2, but batch is 1 by axis 0 of input x; give",
    ),
    (
        lambda: (ones(1, 513), ones(1, 513)),
        "axis 1 of input x has size 513, but seq is 1 to 512; give such a size or",
    ),
    (lambda: (ones(4, 0), ones(4, 0)), "axis 1 of input x has size 0, but seq is 1 to"),
    (lambda: (ones(1, 1),), "inputs are missing: mask: float32 [batch, seq]"),
]


@pytest.mark.parametrize(("inputs", "text"), WRONG)
def test_wrong_sizes_are_named(
    net: ops_wasm32.Library, inputs: Callable[[], tuple[Any, ...]], text: str
) -> None:
    with pytest.raises(ops_wasm32.ArgumentError) as caught:
        net(*inputs())
    assert str(caught.value).startswith("net: ")
    assert text in str(caught.value)


def test_without_memory_a_call_fails_and_the_next_one_works(wasm: Path) -> None:
    net = ops_wasm32.load(wasm)
    large = ones(256, 512)
    with pytest.raises(ops_wasm32.OpsError, match="no memory for"):
        net(large, large)
    for _ in range(3):
        assert LARGEST == net(ones(*LARGEST), ones(*LARGEST)).sum.shape


def test_numbers_and_bounds_in_shapes(tmp_path: Path) -> None:
    shapes: list[Any] = [[2, "seq"], None]
    inputs = [
        t | {"shape": s} for t, s in zip(MANIFEST_OF_NET["inputs"], shapes, strict=True)
    ]
    outputs = [{"name": "sum", "dtype": "float32", "shape": [3, "seq"]}]
    outputs.append(MANIFEST_OF_NET["outputs"][1])
    path = write_open_module(tmp_path, inputs=inputs, sizes={"seq": [4, 4]})
    net = ops_wasm32.load(path)
    assert (2, 4) == net(ones(2, 4), ones(2, 4)).sum.shape
    with pytest.raises(ops_wasm32.ArgumentError, match="size 1 instead of 2; x takes"):
        net(ones(1, 4), ones(1, 4))
    with pytest.raises(ops_wasm32.ArgumentError, match="but seq is 4; give such a"):
        net(ones(2, 3), ones(2, 3))
    with pytest.raises(ops_wasm32.OpsError, match="axis 1 of mask must have size 4"):
        net(ones(2, 4), ones(2, 3))  # which the module alone can see
    path = write_open_module(tmp_path, outputs=outputs)
    with pytest.raises(ops_wasm32.ModuleError, match=r"\(2, 4\) instead of \[3, seq\]"):
        ops_wasm32.load(path)(ones(2, 4), ones(2, 4))


# The command


def test_info_shows_open_sizes(capsys: pytest.CaptureFixture[str], wasm: Path) -> None:
    code, out, _ = run(capsys, "info", wasm)
    assert 0 == code
    assert "sizes:       batch: 0 or more; seq: 1 to 512\n" in out
    assert "arena:       as large as the sizes of each call make it\n" in out
    assert "  in   mask  float32 [batch, seq]\n" in out
    assert "  out  where  int64 [?, 2]\n" in out


def test_run_at_any_size(capsys: pytest.CaptureFixture[str], wasm: Path) -> None:
    code, out, _ = run(capsys, "run", wasm, "-I", "[[1, 0]]", "-I", "[[2, 3]]")
    assert (0, {"sum": [[3, 3]], "where": [[0, 0]]}) == (code, json.loads(out))
    text = fails(capsys, "run", wasm, "-I", "[[1, 0]]", "-I", "[[2]]")
    assert "axis 1 of input mask has size 1, but seq is 2 by axis 1 of input x" in text


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the module computes, as an ONNX file."""
    make = onnx.helper
    shape, kind = ["batch", "seq"], onnx.TensorProto
    inputs = [make.make_tensor_value_info(n, kind.FLOAT, shape) for n in ("x", "mask")]
    outputs = [
        make.make_tensor_value_info("sum", kind.FLOAT, shape),
        make.make_tensor_value_info("where", kind.INT64, None),
    ]
    nodes = [
        make.make_node("Add", ["x", "mask"], ["sum"]),
        make.make_node("NonZero", ["x"], ["places"]),
        make.make_node("Transpose", ["places"], ["where"]),
    ]
    graph = make.make_graph(nodes, "net", inputs, outputs)
    opset = [make.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("original") / "net.onnx"
    onnx.save(make.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_verify_tries_several_sizes(
    capsys: pytest.CaptureFixture[str], wasm: Path, original: Path
) -> None:
    code, out, _ = run(capsys, "verify", wasm, "--against", original)
    assert (0, 6) == (code, out.count("pass\n"))
    for text in ("batch=1 seq=1\n", "batch=3 seq=4\n", "batch=32 seq=32\n"):
        assert text in out
    words = ("--dim", "seq=7", "--dim", "batch=2")
    code, out, _ = run(capsys, "verify", wasm, "--against", original, *words)
    assert (0, 2, 1) == (code, out.count("pass\n"), out.count("batch=2 seq=7\n"))


def test_verify_sees_another_shape(
    capsys: pytest.CaptureFixture[str], original: Path, tmp_path: Path
) -> None:
    outputs = [t | {"shape": ["?", "?"]} for t in MANIFEST_OF_NET["outputs"]]
    wasm = write_open_module(tmp_path, outputs=outputs)
    proto = onnx.load(original)
    proto.graph.node[2].op_type = "Identity"
    del proto.graph.node[2].attribute[:]
    onnx.save(proto, tmp_path / "net.onnx")
    words = ("--against", tmp_path / "net.onnx", "--dim", "batch=3", "--dim", "seq=2")
    code, out, _ = run(capsys, "verify", wasm, *words)
    assert 1 == code
    assert "where  FAIL (shape (6, 2) instead of (2, 6))" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["seq=513"], "--dim seq=513: seq is 1 to 512 in this module"),
        (["row=1"], "--dim row: the model has no such open size; it has batch, seq"),
        (["seq"], "--dim 'seq' is no size; give NAME=SIZE, as in --dim seq=7"),
        (["seq=1..4"], "--dim 'seq=1..4' is no size"),
        (["seq=1", "seq=2"], "--dim gives seq twice; give it once"),
    ],
)
def test_sizes_that_verify_cannot_take(
    words: list[str],
    text: str,
    wasm: Path,
    original: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [word for text in words for word in ("--dim", text)]
    assert text in fails(capsys, "verify", wasm, "--against", original, *options)


def test_verify_leaves_out_sizes_that_the_original_refuses(
    capsys: pytest.CaptureFixture[str], wasm: Path, original: Path, tmp_path: Path
) -> None:
    proto = onnx.load(original)
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(proto, tmp_path / "net.onnx")
    words = ("verify", wasm, "--against", tmp_path / "net.onnx")
    code, out, _ = run(capsys, *words)
    assert (0, 2, 2) == (code, out.count("pass\n"), out.count("\nnot compared: "))
    fixed = "--dim", "batch=4"
    text = fails(capsys, *words, *fixed)
    assert "ONNX Runtime cannot run it on these inputs" in text
    assert text.endswith("; or give other sizes by --dim NAME=SIZE\n")
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, x=ones(3, 2), mask=ones(3, 2))
    assert 0 == run(capsys, *words, "-i", inputs)[0]
    text = fails(capsys, *words, "-i", inputs, *fixed)
    assert "--dim: the inputs given by -i say all sizes" in text


# Node

LOADER = json.dumps((ROOT / "embed/js/ops_wasm32.mjs").as_uri())


def node(wasm: Path, script: str) -> Any:
    """What a script prints as JSON; `model` is the module, `of` makes an input."""
    text = f"""
import {{ load }} from {LOADER};
const model = await load({json.dumps(str(wasm))});
const of = (...shape) => ({{
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape
}});
const failed = (x, mask) => {{
  try {{ return model.run({{ x, mask }}).sum.shape; }} catch (e) {{ return e.message; }}
}};
{script}"""
    command = ["node", "--input-type=module", "-e", text]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


@needs_node
def test_node_gives_arrays_with_shapes(wasm: Path) -> None:
    found = node(
        wasm,
        """
const data = new Float32Array([1, 0, 2]);
const first = model.run({ mask: data, x: { data, shape: [1, 3] } });
const second = model.run({ x: first.sum, mask: of(1, 3) });
const empty = model.run({ x: of(0, 5), mask: of(0, 5) });
const { sum, where } = first;
console.log(JSON.stringify([
  [...sum], sum.shape, [...where].map(Number), where.shape, [...second.sum],
  empty.sum.shape, empty.where.shape, model.sizes, model.inputs[1].shape,
]));""",
    )
    assert found == [
        *([2, 0, 4], [1, 3], [0, 0, 0, 2], [2, 2], [3, 1, 5], [0, 5], [0, 2]),
        MANIFEST_OF_NET["sizes"],
        ["batch", "seq"],
    ]


@needs_node
def test_node_names_wrong_sizes(wasm: Path) -> None:
    found = node(
        wasm,
        """
const plain = new Float32Array(6);
console.log(JSON.stringify([
  failed(of(3), of(3)), failed(of(1, 3), of(2, 3)), failed(of(1, 513), of(1, 513)),
  failed(plain, plain), failed({ data: plain, shape: [2, 2] }, plain),
  failed({ data: plain, shape: "no" }, plain), failed(of(2, 3), undefined),
  failed(of(256, 512), of(256, 512)), failed(plain, of(2, 3)),
]));""",
    )
    takes = "give { data, shape } with a Float32Array: float32 [batch, seq]"
    assert [
        "input x has shape [3]; x takes [batch, seq]",
        "axis 0 of input mask has size 2, but batch is 1 by axis 0 of input x; give "
        "both the same size; mask takes [batch, seq]",
        "axis 1 of input x has size 513, but seq is 1 to 512; give such a size or "
        "compile the model with other bounds (--dim); x takes [batch, seq]",
        f"input x is Float32Array of 6 elements; {takes}",
        f"input x is Float32Array of 6 elements of shape [2,2]; {takes}",
        f"input x is Float32Array of 6 elements of shape [no]; {takes}",
        f"input mask is no array; {takes}",
    ] == found[:7]
    assert "no memory for" in found[7]
    assert [2, 3] == found[8]


@needs_node
def test_node_writes_results_of_any_size(wasm: Path) -> None:
    found = node(
        wasm,
        """
const room = { sum: { data: new Float32Array(9), shape: [] } };
const sizes = [[1, 3], [3, 3], [2, 2]].map((shape) => {
  model.runInto({ x: of(...shape), mask: of(...shape) }, room);
  return [room.sum.shape, room.sum.data.lastIndexOf(2)];
});
const array = new Float32Array(4);
model.runInto({ x: of(2, 2), mask: of(2, 2) }, { sum: array });
let text;
try { model.runInto({ x: of(4, 4), mask: of(4, 4) }, room); }
catch (e) { text = e.message; }
console.log(JSON.stringify([sizes, [...array], text]));""",
    )
    assert found == [
        [[[1, 3], 2], [[3, 3], 8], [[2, 2], 8]],
        [2, 2, 2, 2],
        "output sum is to be written into Float32Array of 9 elements; give a "
        "Float32Array of 16: float32 4x4",
    ]


@needs_node
def test_memory_does_not_grow_in_node(wasm: Path) -> None:
    """Memory is full after a few calls that leave something in it."""
    found = node(
        wasm,
        f"""
let right = 0;
for (let i = 0; i < {CALLS}; ++i) {{
  const shape = [(i * 7919) % {LARGEST[0] + 1}, 1 + ((i * 31) % 64)];
  const {{ sum, where }} = model.run({{ x: of(...shape), mask: of(...shape) }});
  right += `${{sum.shape}}` === `${{shape}}` && where.shape[0] === shape[0] * shape[1]
    && sum.every((v) => v === 2);
}}
console.log(right);""",
    )
    assert CALLS == found
