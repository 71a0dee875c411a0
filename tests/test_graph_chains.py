"""Chains: kernels that differ in their numbers alone are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ops_wasm32
from graph_building import module_of
from graph_reference import run
from onnx import helper
from onnx_files import info, model

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph
from toolchain.graph.passes import optimise
from toolchain.graph.passes.chains import MANY

X = np.random.default_rng(0).standard_normal((3, 5)).astype("f4")


def graph_with(count: int) -> Graph:
    """Outputs max(x * i + 0.5, 0) + x * i, for i from 1 on."""
    nodes, outputs, weights = [], [], {"half": np.float32(0.5), "zero": np.float32(0)}
    for i in range(1, count + 1):
        weights[f"w{i}"] = np.float32(i)
        nodes += [
            helper.make_node("Mul", ["x", f"w{i}"], [f"a{i}"]),
            helper.make_node("Add", [f"a{i}", "half"], [f"b{i}"]),
            helper.make_node("Max", [f"b{i}", "zero"], [f"c{i}"]),
            helper.make_node("Sub", ["x", f"w{i}"], [f"d{i}"]),
            helper.make_node("Add", [f"c{i}", f"d{i}"], [f"y{i}"]),
        ]
        outputs.append(info(f"y{i}", None))
    proto = model(nodes, [info("x", ("n", 5))], outputs, weights)
    return graph_of(proto, "net", Given(), "file").graph


def test_many_kernels_that_differ_in_numbers_are_one(tmp_path: Path) -> None:
    for count, kernels, reads in ((MANY - 1, MANY - 1, 1), (MANY + 2, 1, 3)):
        graph = graph_with(count)
        optimise(graph)
        assert kernels == len({n.op for n in graph.nodes})
        assert {reads} == {len(n.inputs) for n in graph.nodes}
        wanted = [np.maximum(X * i + 0.5, 0) + (X - i) for i in range(1, count + 1)]
        for a, b in zip(run(graph, [X]), wanted, strict=True):
            np.testing.assert_allclose(a, b, 1e-6, 1e-6)
    module = ops_wasm32.load(module_of(graph_with(MANY + 2), tmp_path))
    for a, b in zip(module(X), wanted, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-6)
