"""Networks with open sizes, one module each, against ONNX Runtime at ten sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import ops_wasm32
import pytest
from graph_building import model_of
from open_networks import NETWORKS, Inputs, network
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.graph.builder import Builder
from toolchain.graph.emit import emit_model
from toolchain.graph.graph import IF, Graph, Node, Value
from toolchain.spec import SpecError

SIZES, CALLS = 10, 2000
# Of the largest magnitude: a few hundred roundings in a row.
TOLERANCE = 1e-5


class Both:
    """A network as a module, and in ONNX Runtime."""

    def __init__(self, name: str, folder: Path) -> None:
        file = folder / f"{name}.onnx"
        onnx.save(network(name), file)
        self.inputs_of = NETWORKS[name][1]
        self.session = onnxruntime.InferenceSession(
            file, providers=["CPUExecutionProvider"]
        )
        self.module = model_of(file)

    def ours(self, inputs: Inputs) -> list[Array]:
        """What the module gives."""
        found: Any = self.module(*(inputs[i.name] for i in self.session.get_inputs()))
        return list(found) if isinstance(found, tuple) else [found]

    def theirs(self, inputs: Inputs) -> list[Array]:
        """What ONNX Runtime gives."""
        return [np.asarray(a) for a in self.session.run(None, inputs)]


@pytest.fixture(scope="module")
def both(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Both:
    return Both(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("both", NETWORKS, indirect=True)
def test_ten_sizes_with_one_module(both: Both) -> None:
    rng = np.random.default_rng(0)
    for _ in range(SIZES):
        inputs = both.inputs_of(rng)
        pairs = zip(both.ours(inputs), both.theirs(inputs), strict=True)
        for found, wanted in pairs:
            assert found.shape == wanted.shape
            assert found.dtype == wanted.dtype
            most = TOLERANCE * max(1.0, np.abs(wanted).max(initial=0.0))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=most)


@pytest.mark.parametrize("both", ["text", "looped", "data_dependent"], indirect=True)
def test_memory_is_reused(both: Both) -> None:
    rng = np.random.default_rng(1)
    inputs = [both.inputs_of(rng) for _ in range(50)]
    for each in inputs:
        both.ours(each)
    before = _memory(both.module)
    for i in range(CALLS):
        both.ours(inputs[i % len(inputs)])
    assert _memory(both.module) == before


def _memory(module: ops_wasm32.Library) -> int:
    return module._instance._memory.data_len(module._instance._store)


@pytest.mark.parametrize("both", ["text"], indirect=True)
def test_sizes_that_contradict_each_other_are_named(both: Both) -> None:
    ids, seen = np.zeros((2, 5), np.int64), np.zeros((2, 6), np.int64)
    text = "seen.*6.*length is 5.*ids"
    with pytest.raises((ops_wasm32.OpsError, ops_wasm32.ArgumentError), match=text):
        both.module(ids, seen)


def test_a_bound_is_held(tmp_path: Path) -> None:
    file = tmp_path / "text.onnx"
    onnx.save(network("text"), file)
    module = model_of(file, Given(dims={"length": (1, 8), "batch": 2}))
    assert module.sizes == {"length": (1, 8)}
    ids = np.zeros((2, 8), np.int64)
    assert np.shape(module(ids, ids + 1)) == (2, 8, 32)
    ids = np.zeros((2, 9), np.int64)
    errors = (ops_wasm32.OpsError, ops_wasm32.ArgumentError)
    with pytest.raises(errors, match="length"):
        module(ids, ids)


def _nested(depth: int) -> onnx.ModelProto:
    """A condition inside a condition, and so on; the innermost negates."""
    info = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT

    def branch(level: int, name: str) -> onnx.GraphProto:
        out = f"{name}_{level}"
        made = onnx.helper.make_node("Neg", ["x"], [out])
        if level < depth:
            made = onnx.helper.make_node(
                "If",
                ["c"],
                [out],
                then_branch=branch(level + 1, f"{name}t"),
                else_branch=onnx.helper.make_graph(
                    [onnx.helper.make_node("Abs", ["x"], [f"{out}_abs"])],
                    f"else_{level}",
                    [],
                    [info(f"{out}_abs", kind, ["n"])],
                ),
            )
        return onnx.helper.make_graph([made], name, [], [info(out, kind, ["n"])])

    graph = branch(0, "b")
    graph.input.extend([info("x", kind, ["n"]), info("c", onnx.TensorProto.BOOL, [])])
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9
    )


def test_conditions_in_conditions(tmp_path: Path) -> None:
    onnx.save(_nested(20), tmp_path / "deep.onnx")
    module: Any = model_of(tmp_path / "deep.onnx")
    x = np.array([1, -2], np.float32)
    assert module(x, np.array(True)).tolist() == [-1, 2]
    assert module(x, np.array(False)).tolist() == [1, 2]


def test_regions_are_only_so_deep() -> None:
    def graph(depth: int) -> Graph:
        inputs = [Value("c", "bool", ()), Value("x", "float32", (1,))]
        made = Graph("deep", inputs)
        builder = Builder(made)
        out = builder.call("neg", inputs[1])
        if depth:
            out = Value("y", "float32", (1,))
            regions = [graph(depth - 1), graph(0)]
            made.nodes.append(Node(IF, [inputs[0], *inputs], [out], {}, (), regions))
        made.outputs = [out]
        return made

    emit_model(graph(32))
    with pytest.raises(SpecError, match="32 levels of If"):
        emit_model(graph(33))
