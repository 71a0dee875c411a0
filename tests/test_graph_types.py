"""Models of dtypes that the library does not have: halves and doubles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import ops_wasm32
import pytest
from graph_building import model_of, module_of
from graph_reference import run
from onnx import TensorProto, helper
from onnx_files import info, model, node
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.frontends.sizes import with_shapes
from toolchain.graph.halves import LEAST, halved
from toolchain.spec import SpecError

HALF, DOUBLE = TensorProto.FLOAT16, TensorProto.DOUBLE
DEPTH, WIDTH = 64, 96


def dense(kind: Any, wanted: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Embeddings times weights of a kind, of inputs and outputs of a wanted one."""
    rng = np.random.default_rng(0)
    shapes = {"table": (200, DEPTH), "w": (DEPTH, WIDTH), "bias": (WIDTH,)}
    weights = {n: rng.standard_normal(s).astype(kind) for n, s in shapes.items()}
    to = int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["x"], ["near"], to=to),
        helper.make_node("Add", ["rows", "near"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["moved"]),
        helper.make_node("Cast", ["moved"], ["y"], to=wanted),
    ]
    inputs = [info("ids", ("n",), TensorProto.INT64), info("x", ("n", DEPTH), wanted)]
    return model(nodes, inputs, [info("y", None, wanted)], weights), weights


def inputs_for(kind: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 200, 5), rng.standard_normal((5, DEPTH)).astype(kind)


def wanted_of(weights: dict[str, Array], ids: Array, x: Array) -> Array:
    wide = {n: w.astype("float64") for n, w in weights.items()}
    return np.asarray((wide["table"][ids] + x) @ wide["w"] + wide["bias"])


@pytest.mark.parametrize("kind", ["float16", ml_dtypes.bfloat16])
def test_weights_of_16_bits_stay_so_in_the_module(kind: Any, tmp_path: Path) -> None:
    proto, weights = dense(kind, TensorProto.FLOAT)
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    ids, x = inputs_for("float32")
    for _ in range(2):
        y = module(ids, x)
        np.testing.assert_allclose(y, wanted_of(weights, ids, x), 1e-5, 1e-4)
    assert module.manifest["memory"]["weights"] < 2.1 * sum(
        w.size for w in weights.values()
    )


def test_halves_in_a_file_of_weights(tmp_path: Path) -> None:
    proto, weights = dense("float16", TensorProto.FLOAT)
    graph = graph_of(proto, "net", Given(), "file").graph
    module = ops_wasm32.load(module_of(graph, tmp_path, external=True))
    ids, x = inputs_for("float32")
    y = module(ids, x)
    np.testing.assert_allclose(y, wanted_of(weights, ids, x), 1e-5, 1e-4)


def test_inputs_and_outputs_are_halves(tmp_path: Path) -> None:
    proto, weights = dense("float16", HALF)
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    ids, x = inputs_for("float16")
    y = module(ids, x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, wanted_of(weights, ids, x), 2**-10, 1e-3)
    with pytest.raises(ops_wasm32.ArgumentError, match="it takes float16"):
        module(ids, x.astype("float32"))


@pytest.mark.parametrize("step", [1, 7])
def test_every_half_is_itself_again(step: int, tmp_path: Path) -> None:
    proto = model(
        [node("Neg", "x")], [info("x", ("n",), HALF)], [info("y", None, HALF)]
    )
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    x = np.arange(0, 1 << 16, step, dtype="uint16").view("float16")
    np.testing.assert_array_equal(-x, module(x))


def test_floats_become_the_nearest_halves(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", to=HALF)]
    onnx.save(
        model(nodes, [info("x", ("n",))], [info("y", None, HALF)]),
        tmp_path / "net.onnx",
    )
    module = model_of(tmp_path / "net.onnx")
    halves = np.arange(1 << 15, dtype="uint16").view("float16").astype("float64")
    middle = ((halves[:-1] + halves[1:]) / 2).astype("float32")
    above = np.nextafter(middle, np.float32(np.inf))
    x = np.concatenate([middle, -middle, above, [np.inf, np.nan, 1e-30, 7e4]])
    x = x.astype("float32")
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(x.astype("float16"), module(x))


def test_constants_that_16_bits_do_not_hold() -> None:
    exact = np.ones(LEAST, "float32")
    late = exact.copy()
    late[-1] = 1 + 2.0**-20
    assert halved(exact) is not None
    assert halved(exact[:-1]) is None
    assert halved(late) is None
    for value, kind in ((2.0**-16, "float16"), (2.0**100, "uint8")):
        half = halved(np.full(LEAST, value, "float32"))
        assert half is not None
        assert half.dtype == kind
    assert halved(exact.astype("float64")) is None


# Nodes on a [n, 6] matrix of doubles, and what numpy gives.
NODES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "exp": (("Exp",), np.exp),
    "log": (("Log",), np.log),
    "tanh": (("Tanh",), np.tanh),
    "sigmoid": (("Sigmoid",), lambda x: 1 / (1 + np.exp(-x))),
    "erf": (("Erf",), np.vectorize(math.erf)),
    "sin": (("Sin",), np.sin),
    "cos": (("Cos",), np.cos),
    "pow": (("Pow", np.array(2.5)), lambda x: np.power(x, 2.5)),
    "softmax": (("Softmax",), lambda x: _shares(x)),
    "log_softmax": (("LogSoftmax",), lambda x: np.log(_shares(x))),
    "matmul": (("MatMul", np.arange(30.0).reshape(6, 5)), None),
    "sum": (("ReduceSum", np.array([1])), lambda x: x.sum(1, keepdims=True)),
    "max": (("ReduceMax", np.array([0])), lambda x: x.max(0, keepdims=True)),
    "clip": (("Clip", np.array(-0.5)), lambda x: np.maximum(x, -0.5)),
    "norm": (("ReduceL2", np.array([1])), lambda x: np.sqrt((x * x).sum(1))[:, None]),
}


def _shares(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def test_doubles_are_computed_as_doubles(tmp_path: Path) -> None:
    weights, nodes, outputs = {}, [], []
    for name, ((kind, *constants), _) in NODES.items():
        inputs = ["x"]
        for i, constant in enumerate(constants):
            inputs.append(f"{name}_{i}")
            weights[inputs[-1]] = constant
        nodes.append(helper.make_node(kind, inputs, [name]))
        outputs.append(info(name, None, DOUBLE))
    proto = model(nodes, [info("x", ("n", 6), DOUBLE)], outputs, weights)
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    x = np.random.default_rng(2).standard_normal((17, 6)) * 3
    x[0] = [0, -0.0, 1e-310, 700, np.inf, np.nan]
    found = module(x)._asdict()
    with np.errstate(all="ignore"):
        for name, ((_, *constants), formula) in NODES.items():
            wanted = x @ constants[0] if formula is None else formula(x)
            assert found[name].dtype == np.float64
            rtol = 1e-13 if name != "log_softmax" else 1e-10
            np.testing.assert_allclose(found[name], wanted, rtol, 1e-15, err_msg=name)


def test_doubles_become_other_dtypes() -> None:
    x = np.array([1.5, -2.5, 1e30, -1e30, np.nan, 0])
    for kind in (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT64):
        nodes = [node("Cast", "x", to=kind)]
        proto = model(nodes, [info("x", ("n",), DOUBLE)], [info("y", None, kind)])
        (y,) = run(graph_of(proto, "net", Given(), "file").graph, [x])
        ends = np.iinfo(y.dtype)
        np.testing.assert_array_equal([1, max(-2, ends.min)], y[:2])
        np.testing.assert_array_equal([ends.max, ends.min, 0, 0], y[2:])


def test_what_has_no_doubles_says_so() -> None:
    weights = {"w": np.ones((1, 1, 3, 3))}
    shape = (1, 1, "h", "w")
    proto = model(
        [node("Conv", "x", "w")],
        [info("x", shape, DOUBLE)],
        [info("y", None, DOUBLE)],
        weights,
    )
    with pytest.raises(SpecError) as error:
        graph_of(proto, "net", Given(), "file")
    text = str(error.value)
    assert "Conv, node n" in text
    assert "conv takes no float64" in text
    assert text.endswith("cast to float32 before it")


def test_models_of_known_sizes_leave_other_dtypes_to_graphs() -> None:
    proto = model([node("Neg", "x")], [info("x", (2,), HALF)], [info("y", None, HALF)])
    with pytest.raises(SpecError, match="'x' is float16"):
        with_shapes(proto, Given(), "file")
