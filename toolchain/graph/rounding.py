"""Rounding: how far a model's float32 results may be from those of another order.

n roundings one after the other are an error of about sqrt(n) of them (Higham and Mary,
A New Approach to Probabilistic Rounding Error Analysis, 2019). A sum of n products has
n; those of operations that follow one another come together. So the bound grows with
the depth of a model. A size that only a call knows counts as OPEN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt

from toolchain.graph.graph import LOOP, PREFIX, Graph, Node, Value
from toolchain.graph.sizes import Size

ROUNDING = 2.0**-24  # the relative error of one rounding
ROUNDING_OF_HALVES = 2.0**-11  # which others have after each node
# Both results have errors, and functions and quotients enlarge them: the models of
# models/ are at 0.02 to 0.3 of the bound.
MARGIN = 4
WINOGRAD = 10  # its products have errors so many times as large
# Where activations are quantized to 8 bits, an error moves some by one level of 255,
# and one level in a layer moves others: of the results' range.
LEVELS = 5 / 255
# Functions whose relative error is that of their argument times its magnitude, here up
# to 64; places between pixels are differences of numbers as large as an image.
ENLARGED = 4096
OPEN = 256  # elements along an axis, or steps of a loop, before a call decides
# Calls may have many elements, and the largest error is that of the worst one: of LeNet
# on 32 images it is at 0.3 of the bound.
_MORE = 4
_QUANTIZE = ("quantize_linear", "round")
# Operators that round nothing.
_EXACT = {
    *("cast", "clip", "concat", "convert", "expand", "gather", "identity", "max_pool"),
    "maximum",
    *("minimum", "neg", "pad", "reduce_max", "reduce_min", "relu", "scatter_elements"),
    *("scatter_nd", "slice", "split", "tile", "transpose", "where"),
}
_ENLARGED = dict.fromkeys(("sin", "cos", "tan", "exp", "pow", "sinh", "cosh"), ENLARGED)
_ENLARGED |= {"resize": 256, "grid_sample": 256}
_RECURRENT = ("lstm", "gru", "rnn")
_ALONG_AXIS = ("softmax", "log_softmax", "layer_normalization", "cum_sum")


def tolerance(graph: Graph, by_winograd: bool = False) -> float:
    """The difference to allow, relative to an element or its output's mean.

    graph: as frontends write it, before any pass. by_winograd: see passes.optimise.
    """
    most = _MORE * LEVELS
    if any(n.op in _QUANTIZE for n in graph.nodes):
        return most
    error = ROUNDING * sqrt(max(_longest(graph, _roundings), 1.0))
    if graph.halves:
        error += ROUNDING_OF_HALVES * sqrt(max(_longest(graph, lambda _: 1), 1.0))
    margin = MARGIN * WINOGRAD if by_winograd else MARGIN
    return min(most, _MORE * margin * error)


def _longest(graph: Graph, roundings: Callable[[Node], float]) -> float:
    """Roundings that follow one another, on the path with the most."""
    paths: dict[Value, float] = {}
    for node in graph.nodes:
        before = max((paths.get(v, 0.0) for v in node.reads()), default=0.0)
        paths |= dict.fromkeys(node.outputs, before + roundings(node))
    return max((paths.get(v, 0.0) for v in graph.outputs), default=0.0)


def _roundings(node: Node) -> float:
    """One after the other in a result: numbers that are added up."""
    if node.regions:
        most = max(_longest(r, _roundings) for r in node.regions)
        return most * OPEN if node.op == LOOP else most
    if node.op in _EXACT or node.op.startswith(PREFIX) or not node.inputs:
        return 0
    if node.op in _ENLARGED:
        return _ENLARGED[node.op]
    first, *others = [None if v is None else v.shape for v in node.inputs]
    if node.op in _RECURRENT:
        step = _count(others[0], -1) + _count(others[1], -1)
        return step * _count(first, int(node.attributes.get("layout") == 1))
    if node.op == "gemm":
        return _count(first, 0 if node.attributes.get("transA") else 1)
    if node.op.startswith("matmul") or node.op.startswith(_ALONG_AXIS):
        return _count(first, -1)
    if node.op.startswith("conv"):
        return prod(map(_number, (others[0] or ())[1:]))
    return max(_all(first) / max(_all(node.outputs[0].shape), 1), 1)


def _number(size: Size | None) -> int:
    return size if isinstance(size, int) else OPEN


def _count(shape: Sequence[Size | None] | None, axis: int) -> int:
    """The size of an axis."""
    return _number(shape[axis]) if shape else OPEN


def _all(shape: Sequence[Size | None] | None) -> int:
    """How many elements there are."""
    return OPEN if shape is None else prod(map(_number, shape))
