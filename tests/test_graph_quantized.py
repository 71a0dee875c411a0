"""Quantized networks as graphs: products of 8-bit integers, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_building import module_of
from graph_reference import run
from onnx import TensorProto, helper
from onnx_files import info, model
from ops_wasm32 import load
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph
from toolchain.graph.passes import optimise

RNG = np.random.default_rng(0)
LENET = Path(__file__).parents[1] / "models" / "lenet_int8.onnx"
DOMAIN = "com.microsoft"


def made(proto: onnx.ModelProto) -> Graph:
    """A file after all passes."""
    graph = graph_of(proto, "m", Given(), "file").graph
    optimise(graph)
    return graph


def operators(graph: Graph) -> set[str]:
    return {n.op for n in graph.nodes}


def stored(graph: Graph) -> int:
    """Bytes of constants, each content once."""
    read = (v.data for n in graph.nodes for v in n.reads() if v.data is not None)
    return sum(len(b) for b in {d.tobytes() for d in read})


def reference(proto: onnx.ModelProto, *inputs: Array) -> list[Array]:
    """ONNX Runtime without optimisations: exact integers, floats in between."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def bytes_of(shape: tuple[int, ...], dtype: str = "int8") -> Array:
    ends = np.iinfo(dtype)
    return RNG.integers(ends.min, ends.max, shape, dtype, endpoint=True)


def n(kind: str, inputs: str, output: str, **given: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), output.split(), **given)


# -- dynamic quantization --


def dynamic(weights: dict[str, Array]) -> onnx.ModelProto:
    """Sums x @ w + b, twice with the same weights, as quantize_dynamic writes it."""
    nodes = []
    for i, x in enumerate("xy"):
        nodes += [
            n("DynamicQuantizeLinear", x, f"q{i} s{i} z{i}"),
            n("MatMulInteger", f"q{i} w z{i} wz", f"sum{i}"),
            n("Cast", f"sum{i}", f"real{i}", to=TensorProto.FLOAT),
            n("Mul", f"s{i} ws", f"scale{i}"),
            n("Mul", f"real{i} scale{i}", f"product{i}"),
            n("Add", f"product{i} b", "yz"[i]),
        ]
    shape = ("batch", "length", weights["w"].shape[0])
    return model(nodes, [info("x", shape)], [info("z", None)], weights)


@pytest.mark.parametrize("kind", ["tensor", "channel", "uint8"])
def test_dynamic_products_have_packed_weights(kind: str) -> None:
    size, dtype = 40, "uint8" if kind == "uint8" else "int8"
    each = (size,) if kind == "channel" else ()
    weights = {
        "w": bytes_of((size, size), dtype),
        "wz": RNG.integers(-9 if dtype == "int8" else 0, 9, each).astype(dtype),
        "ws": RNG.uniform(1e-3, 2e-3, each).astype("f4"),
        "b": RNG.normal(size=size).astype("f4"),
    }
    proto = dynamic({k: np.asarray(v) for k, v in weights.items()})
    graph = made(proto)
    wanted = {"dynamic_quantize_linear", "quantized_matmul"}
    assert wanted == operators(graph) - {"mul"}
    assert stored(graph) < 1.5 * size * size
    x = RNG.normal(size=(2, 5, size)).astype("f4")
    (want,), (got,) = reference(proto, x), run(graph, [x])
    assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def test_sums_of_integers_are_those_of_numpy() -> None:
    w, taps = bytes_of((37, 19)), bytes_of((6, 3, 3, 2), "uint8")
    nodes = [
        n("MatMulInteger", "a w az", "p"),
        n("ConvInteger", "x taps xz tz", "c", pads=[1, 0, 1, 1], strides=[2, 1]),
    ]
    inputs = [
        info("a", ("m", 37), TensorProto.UINT8),
        info("x", ("n", 3, "h", "v"), TensorProto.INT8),
    ]
    outputs = [info(name, None, TensorProto.INT32) for name in "pc"]
    weights: dict[str, Any] = {"w": w, "az": np.uint8(200)}
    weights |= {"taps": taps, "xz": np.int8(-7)}
    graph = made(model(nodes, inputs, outputs, weights | {"tz": np.uint8(3)}))
    assert {"quantized_matmul", "quantized_conv"} <= operators(graph)
    a, x = bytes_of((5, 37), "uint8"), bytes_of((2, 3, 6, 7))
    products, convolved = run(graph, [a, x])
    wide = np.pad(x.astype("i8") + 7, [(0, 0), (0, 0), (1, 1), (0, 1)])
    columns = np.lib.stride_tricks.sliding_window_view(wide, (3, 2), (2, 3))
    sums = np.einsum("ncyxrs,mcrs->nmyx", columns[:, :, ::2], taps.astype("i8") - 3)
    np.testing.assert_array_equal(products, (a.astype("i8") - 200) @ w.astype("i8"))
    np.testing.assert_array_equal(convolved, sums)


# -- static quantization --


def weights_of_convolutions() -> dict[str, Array]:
    found: dict[str, Array] = {}
    for i, shape in enumerate(((8, 3, 3, 3), (8, 1, 3, 3), (8, 8, 1, 1))):
        found[f"w{i}"] = bytes_of(shape)
        found[f"ws{i}"] = RNG.uniform(2e-3, 4e-3, 8).astype("f4")
        found[f"wz{i}"] = np.zeros(8, "i1")
        found[f"b{i}"] = RNG.integers(-500, 500, 8).astype("i4")
    return found


def qdq(dtype: str = "uint8") -> onnx.ModelProto:
    """Convolutions, one of each channel, a sum, a pool and a product, as QDQ."""
    weights: dict[str, Any] = weights_of_convolutions() | {
        "s": np.float32(0.05),
        "z": np.array(3, dtype),
        "fc": bytes_of((8, 10)),
        "fcs": np.float32(0.004),
        "fcz": np.int8(0),
    }
    for i in range(3):
        weights[f"bs{i}"] = (np.float32(0.05) * weights[f"ws{i}"]).astype("f4")
        weights[f"bz{i}"] = np.zeros(8, "i4")
    nodes = [n("QuantizeLinear", "x s z", "q0")]
    names = ["q0"]
    for i, (group, pads) in enumerate(((1, 1), (8, 1), (1, 0))):
        nodes += [
            n("DequantizeLinear", f"{names[-1]} s z", f"d{i}"),
            n("DequantizeLinear", f"w{i} ws{i} wz{i}", f"dw{i}", axis=0),
            n("DequantizeLinear", f"b{i} bs{i} bz{i}", f"db{i}", axis=0),
            n("Conv", f"d{i} dw{i} db{i}", f"c{i}", group=group, pads=[pads] * 4),
            n("Relu", f"c{i}", f"r{i}"),
            n("QuantizeLinear", f"r{i} s z", f"q{i + 1}"),
        ]
        names.append(f"q{i + 1}")
    nodes += [
        *(n("DequantizeLinear", f"q{i} s z", f"e{i}") for i in (1, 3)),
        n("Add", "e1 e3", "sum"),
        n("QuantizeLinear", "sum s z", "q4"),
        n("DequantizeLinear", "q4 s z", "e4"),
        n("MaxPool", "e4", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        n("QuantizeLinear", "pooled s z", "q5"),
        n("DequantizeLinear", "q5 s z", "e5"),
        n("GlobalAveragePool", "e5", "mean"),
        n("Flatten", "mean", "flat"),
        n("QuantizeLinear", "flat s z", "q6"),
        n("DequantizeLinear", "q6 s z", "e6"),
        n("DequantizeLinear", "fc fcs fcz", "dfc"),
        n("MatMul", "e6 dfc", "product"),
        n("QuantizeLinear", "product s z", "q7"),
        n("DequantizeLinear", "q7 s z", "y"),
    ]
    return model(nodes, [info("x", ("n", 3, "h", "w"))], None, weights)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_network_of_qdq_works_on_integers(dtype: str, tmp_path: Path) -> None:
    proto = qdq(dtype)
    graph = made(proto)
    wanted = {"quantized_conv", "quantized_depthwise", "quantized_matmul"}
    assert wanted <= operators(graph)
    assert not {"conv_packed", "matmul_packed", "dequantize_linear"} & operators(graph)
    (added,) = [n for n in graph.nodes if n.op.startswith("quantize_chain")]
    assert [v.dtype for v in (*added.reads(), added.output)] == [dtype] * 3
    network = load(module_of(graph_of(proto, "m", Given(), "").graph, tmp_path))
    for size in (6, 9):
        x = RNG.normal(size=(2, 3, size, size + 1)).astype("f4")
        (want,) = reference(proto, x)
        for got in (run(graph, [x])[0], network(x)):
            # A sum that rounds otherwise is one quantum, and may move another.
            assert np.abs(got - want).max() <= 2 * 0.0501
            assert np.mean(np.abs(got - want) > 1e-6) < 0.1


def test_qlinear_operators_are_exact() -> None:
    weights: dict[str, Any] = weights_of_convolutions() | {
        "s": np.float32(0.05),
        "z": np.uint8(3),
        "fc": bytes_of((8, 10)),
        "fcs": np.float32(0.004),
        "fcz": np.int8(0),
    }
    nodes = [
        n("QLinearConv", "x s z w0 ws0 wz0 s z b0", "c0", pads=[1] * 4),
        n("QLinearConv", "c0 s z w1 ws1 wz1 s z b1", "c1", group=8, pads=[1] * 4),
        n("QLinearAdd", "c0 s z c1 s z s z", "sum", domain=DOMAIN),
        n("QLinearGlobalAveragePool", "sum s z s z", "mean", domain=DOMAIN),
        n("Flatten", "mean", "flat"),
        n("QLinearMatMul", "flat s z fc fcs fcz s z", "y"),
    ]
    inputs = [info("x", ("n", 3, "h", "w"), TensorProto.UINT8)]
    outputs = [info("y", None, TensorProto.UINT8)]
    proto = model(nodes, inputs, outputs, weights)
    proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    graph = made(proto)
    assert {"quantized_conv", "quantized_depthwise"} <= operators(graph)
    x = bytes_of((2, 3, 7, 5), "uint8")
    (want,), (got,) = reference(proto, x), run(graph, [x])
    assert np.abs(got.astype(int) - want.astype(int)).max() <= 1


def test_lenet_of_8_bits_is_right(tmp_path: Path) -> None:
    proto = onnx.load(LENET)
    graph = made(proto)
    assert {"quantized_conv", "quantized_matmul"} <= operators(graph)
    assert not {"conv_packed", "matmul_packed"} & operators(graph)
    network = load(module_of(graph_of(proto, "m", Given(), "").graph, tmp_path))
    x = RNG.uniform(size=(1, 1, 28, 28)).astype("f4")
    (want,) = reference(proto, x)
    assert np.abs(network(x) - want).max() <= 2 / 256


def test_what_no_product_takes_is_computed_ahead() -> None:
    weights: dict[str, Any] = {"w": bytes_of((4, 6)), "s": np.float32(0.1)}
    weights["z"] = np.int8(0)
    nodes = [n("DequantizeLinear", "w s z", "real"), n("Add", "x real", "y")]
    graph = made(model(nodes, [info("x", ("n", 4, 6))], None, weights))
    assert [node.op for node in graph.nodes] == ["add"]
    x = RNG.normal(size=(2, 4, 6)).astype("f4")
    want = x + weights["w"].astype("f4") * np.float32(0.1)
    np.testing.assert_allclose(run(graph, [x])[0], want, rtol=1e-6)
