"""Models with many inputs and outputs, and what the runtime has room for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import ops_wasm32
import pytest
from abi import Arg, Module, runtime_objects
from onnx import TensorProto, helper

from toolchain.abi import MAX_MODEL_TENSORS, MAX_NAME
from toolchain.codegen.descriptor import fixed_descriptor, table
from toolchain.codegen.limits import Fixed
from toolchain.graph.build import Place
from toolchain.model.build import Options, build_model
from toolchain.profile import ROOT
from toolchain.spec import SpecError

LOADER = ROOT / "embed" / "js" / "ops_wasm32.mjs"
CACHE = ROOT / "build" / "cache" / "simd128"
# A text as long as real ones: "past_key_values_29_decoder_value".
NAME = "past_key_values_{}_of_the_decoder_{}".format
# How many inputs and as many outputs, and their shape.
SIZES = {70: (5,), 124: (2, 3), 300: (1, 2, 1, 1, 2, 1, 1, 1), 1000: (4,)}

RUN = """
import { pathToFileURL } from "node:url";
const [loader, module, size] = process.argv.slice(1);
const { load } = await import(pathToFileURL(loader));
const model = await load(module);
const inputs = {};
model.manifest.inputs.forEach(({ name }, i) => {
  inputs[name] = new Float32Array(Number(size)).map((_, k) => i * i + k);
});
for (let turn = 0; turn < 2; ++turn) {
  const outputs = Object.values(model.run(inputs));
  console.log(JSON.stringify(outputs.map((y) => Array.from(y))));
}
"""


def differences(count: int, shape: tuple[int, ...]) -> onnx.ModelProto:
    """y_i = x_i - x_(i + 1): `count` tensors, of which half are inputs."""
    half = count // 2
    names = [[NAME(i, kind) for i in range(half)] for kind in ("in", "out")]
    inputs, outputs = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in group]
        for group in names
    )
    nodes = [
        helper.make_node("Sub", [a, b], [out])
        for a, b, out in zip(
            names[0], names[0][1:] + names[0][:1], names[1], strict=True
        )
    ]
    graph = helper.make_graph(nodes, "differences", inputs, outputs)
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def build(folder: Path, model: onnx.ModelProto) -> Path:
    file = folder / "net.onnx"
    onnx.save(model, file)
    options = Options("simd128")
    runtime = runtime_objects("simd128")
    build_model(file, options, Place(folder, CACHE), runtime, lambda _: None)
    return folder / "net.wasm"


@pytest.fixture(scope="module", params=SIZES)
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int, tuple[int, ...]]:
    """A module, the number of its tensors and their shape."""
    count = request.param
    folder = tmp_path_factory.mktemp(f"many{count}")
    return build(folder, differences(count, SIZES[count])), count, SIZES[count]


def given(count: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    ramp = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return [ramp + i * i for i in range(count // 2)]


def expected(inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [a - b for a, b in zip(inputs, inputs[1:] + inputs[:1], strict=True)]


def test_results_in_python(built: tuple[Path, int, tuple[int, ...]]) -> None:
    path, count, shape = built
    model = ops_wasm32.load(path)
    inputs = given(count, shape)
    for _ in range(2):
        np.testing.assert_array_equal(model(*inputs), expected(inputs))
    named = {NAME(i, "in"): x for i, x in enumerate(inputs)}
    np.testing.assert_array_equal(model(**named), expected(inputs))
    assert model.infer("net", *inputs) == [(shape, "float32")] * (count // 2)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_results_in_node(built: tuple[Path, int, tuple[int, ...]]) -> None:
    path, count, shape = built
    done = subprocess.run(
        ["node", "--input-type=module", "-e", RUN, LOADER, path, str(np.prod(shape))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    want = [y.ravel().tolist() for y in expected(given(count, shape))]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [want, want]


def tensors(module: Module, shape: list[int], count: int) -> list[Arg]:
    return [module.tensor(shape) for _ in range(count)]


def test_nothing_beside_the_tensors_is_touched(
    built: tuple[Path, int, tuple[int, ...]],
) -> None:
    """The allocator, other blocks and errors are as they were, at any argument."""
    path, count, shape = built
    module = Module(path)
    guards = [module.store_bytes(b"\xcc" * 4096)]
    args = tensors(module, list(shape), count)
    guards.append(module.store_bytes(b"\xdd" * 4096))
    assert module.call("net", *args) == 0, module.error()
    assert module.infer("net", *args) == 0, module.error()
    for wrong, text in (
        (args[:-1], f"takes {count} arguments, got {count - 1}"),
        ([*args, args[0]], f"takes {count} arguments, got {count + 1}"),
        ([*args[:-1], args[0]], f"data of {NAME(count // 2 - 1, 'out')} overlaps"),
        ([args[count // 2], *args[1:]], f"overlaps data of {NAME(0, 'in')}"),
        ([*args[:-1], module.tensor([9])], "has shape [9] but must be"),
    ):
        assert module.call("net", *wrong) != 0
        assert text in module.error()
    assert [set(module.read(g, 4096)) for g in guards] == [{0xCC}, {0xDD}]
    assert module.call("net", *args) == 0, module.error()
    for block in guards:
        assert module.run("ops_free", block) == 0


MUCH = (("x", "float32", (1 << 31,)), ("x", "float32", (1 << 20, 1 << 9)))


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        (
            [("x", "float32", ())] * (MAX_MODEL_TENSORS + 1),
            "net: has 4097 inputs and outputs, but a module takes 4096; join some",
        ),
        ([("x", "int8", (1,) * 9)], "net: x has 9 axes, but a tensor has at most 8"),
        *(([much], "takes 2^31 bytes or more; make it smaller") for much in MUCH),
    ],
    ids=["tensors", "rank", "size", "bytes"],
)
def test_what_no_call_can_pass_is_refused(tensors: list[Fixed], text: str) -> None:
    with pytest.raises(SpecError, match=re.escape(text)):
        fixed_descriptor("net", tensors, [])


def test_a_name_that_is_not_found_is_refused() -> None:
    table(["n" * (MAX_NAME - 1)])
    with pytest.raises(SpecError, match="has 1024 characters, but ops_find takes 1023"):
        table(["n" * MAX_NAME])
