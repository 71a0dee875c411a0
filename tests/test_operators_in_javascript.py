"""Operators from JavaScript: what examples/js/operators.mjs answers and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from abi import BUILD

from toolchain.profile import ROOT

PROGRAM = """
import { load } from "%s";
const library = await load("%s");
const x = { data: new Float32Array([1, 2, 3]), shape: [1, 3] };
const sum = library.call("add_float32", [x, x]);
const texts = [
  () => library.call("add", [x, x]),
  () => library.call("relu_float32", x),
  () => library.call("relu_float32", [{ data: new Float64Array(1), shape: [1] }]),
  () => library.call("relu_float32", [{ data: new Float32Array(3) }]),
  () => library.call("relu_float32", [{ data: new Float32Array(3), shape: [4] }]),
  () => library.call("relu_float32", [{ data: x.data, shape: Array(9).fill(1) }]),
  () => library.call("relu_float32", [x], { axis: 1 }),
  () => library.call("softmax_float32", [x], { axes: 1 }),
  () => library.call("softmax_float32", [x], { axis: 7 }),
].map((call) => {
  try {
    return call();
  } catch (error) {
    return error.message;
  }
});
console.log(JSON.stringify({ sum: [[...sum.data], sum.shape], texts }));
"""
TEXTS = (
    "no add; there are abs_float32, ",
    "relu_float32: give a list of tensors, as in [x]",
    "relu_float32: input 0: its data must be Float32Array, Int32Array, ",
    "relu_float32: input 0: lacks its shape, as in shape: [3]",
    "relu_float32: input 0: shape [4] does not hold 3 elements",
    "relu_float32: input 0: shape [1,1,1,1,1,1,1,1,1] does not hold 3 elements, or",
    "attribute axis is unknown; use none",
    "attribute axes is unknown; use axis",
    "softmax_float32: axis 7 is outside rank 2 of x; use -2..1",
)


def test_results_and_mistakes() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    module = BUILD / "simd128" / "ops_wasm32.wasm"
    done = subprocess.run(
        [node, "--input-type=module"],
        input=PROGRAM % (ROOT / "examples/js/operators.mjs", module),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["sum"] == [[2, 4, 6], [1, 3]]
    for text, wanted in zip(found["texts"], TEXTS, strict=True):
        assert text.startswith(wanted)
