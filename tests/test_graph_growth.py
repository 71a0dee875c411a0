"""The time of models of any shape grows with their nodes: rules, passes, emission."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_files import info, model, node

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.emit import emit_model
from toolchain.graph.passes import optimise

# Three times the nodes: linear is 3, quadratic 9; a busy machine needs some room.
FEW, MANY, GROWTH, TRIES = 100, 300, 5.0, 5
RNG = np.random.default_rng(0)
make = helper.make_node


def elementwise(n: int) -> onnx.ModelProto:
    """Additions, one after the other."""
    names = ["x", *(f"v{i}" for i in range(1, n)), "y"]
    nodes = [make("Add", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    return model(nodes, [info("x", ("n", 8))], None, {"w": np.ones(8, "f4")})


def convolutions(n: int) -> onnx.ModelProto:
    """With weights of their own, which are packed."""
    weights = {f"w{i}": RNG.standard_normal((4, 4, 1, 1), "f4") for i in range(n)}
    nodes = []
    for i in range(n):
        nodes.append(make("Conv", [f"v{i}" if i else "x", f"w{i}"], [f"c{i}"]))
        nodes.append(make("Relu", [f"c{i}"], [f"v{i + 1}" if i + 1 < n else "y"]))
    return model(nodes, [info("x", ("n", 4, "h", "w"))], None, weights)


def reshapes(n: int) -> onnx.ModelProto:
    """Sizes by Shape, Gather and Concat, as exporters write them."""
    weights = {"zero": np.array([0]), "rest": np.array([-1])}
    nodes, value = [], "x"
    for i in range(n):
        nodes += [
            make("Shape", [value], [f"s{i}"]),
            make("Gather", [f"s{i}", "zero"], [f"g{i}"]),
            make("Concat", [f"g{i}", "rest"], [f"k{i}"], axis=0),
            make("Reshape", [value, f"k{i}"], [f"r{i}"]),
            make("Softmax", [f"r{i}"], [f"v{i}"]),
        ]
        value = f"v{i}"
    nodes.append(node("Neg", value))
    return model(nodes, [info("x", ("n", 8))], None, weights)


def alive(n: int) -> onnx.ModelProto:
    """Values that all live until the end."""
    names = ["x", *(f"v{i}" for i in range(n))]
    nodes = [make("Sin", [a], [b]) for a, b in itertools.pairwise(names)]
    total = "x"
    for i in reversed(range(n)):
        nodes.append(make("Concat", [total, f"v{i}"], [f"t{i}"], axis=0))
        total = f"t{i}"
    nodes.append(node("Neg", total))
    return model(nodes, [info("x", ("n", 8))])


def seconds(proto: onnx.ModelProto) -> float:
    """CPU time from a loaded file to a module's data."""
    start = time.process_time()
    graph = graph_of(proto, "m", Given(), "file").graph
    optimise(graph)
    emit_model(graph)
    return time.process_time() - start


@pytest.mark.parametrize("kind", [elementwise, convolutions, reshapes, alive])
def test_time_grows_with_the_nodes(kind: Callable[[int], onnx.ModelProto]) -> None:
    protos = {n: kind(n) for n in (FEW, MANY)}
    least = dict.fromkeys(protos, float("inf"))
    for _ in range(TRIES):
        for n, proto in protos.items():
            least[n] = min(least[n], seconds(proto))
        ratio = least[MANY] / least[FEW]
        if ratio < GROWTH:
            return
    pytest.fail(f"{MANY // FEW} times the nodes take {ratio:.1f} times as long")
