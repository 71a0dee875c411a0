"""What models of any size may differ by: it grows with sums, by sizes or by guesses."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.graph.builder import Builder
from toolchain.graph.graph import Graph, Value
from toolchain.graph.rounding import LEVELS, OPEN, tolerance
from toolchain.graph.sizes import Size, named

ROUNDING = 16 * 2.0**-24


def product(k: Size, weights: bool = True) -> Graph:
    """X of k columns times weights, or times itself transposed."""
    graph = Graph("net")
    x = Value("x", "float32", (named("batch"), k))
    graph.inputs = [x]
    build = Builder(graph)
    if weights and isinstance(k, int):
        y = build.constant(np.ones((k, 3), np.float32))
    else:
        y = build.call("transpose", x, perm=[1, 0])
    graph.outputs = [build.call("matmul", x, y)]
    return graph


@pytest.mark.parametrize(
    ("graph", "roundings"),
    [(product(64), 64), (product(64, False), 64), (product(named("n")), OPEN)],
)
def test_a_sum_has_as_many_roundings_as_terms(graph: Graph, roundings: int) -> None:
    assert tolerance(graph) == pytest.approx(ROUNDING * roundings**0.5)


def test_operations_that_follow_one_another_add_up() -> None:
    graph = product(64)
    build = Builder(graph)
    graph.outputs = [build.call("tanh", build.call("relu", graph.outputs[0]))]
    assert tolerance(graph) == pytest.approx(ROUNDING * 65**0.5)


def test_levels_of_8_bits_count_in_levels() -> None:
    graph = product(64)
    build = Builder(graph)
    scale = build.constant(np.array(0.1, np.float32))
    zero = build.constant(np.array(0, np.uint8))
    graph.outputs = [build.call("quantize_linear", graph.outputs[0], scale, zero)]
    assert LEVELS < tolerance(graph) < 1
