"""Rounding: how far a model's float32 results may be from those of another order.

n roundings one after the other are an error of about sqrt(n) of them (Higham and Mary,
A New Approach to Probabilistic Rounding Error Analysis, 2019). A sum of n products has
n; errors of operations that follow one another add up. So the bound grows with
the depth of a model.
"""

from __future__ import annotations

from math import prod, sqrt

from toolchain.model.graph import Graph, Node, Value

ROUNDING = 2.0**-24  # the relative error of one rounding
# Both results have errors, and functions and quotients enlarge them: the models of
# models/ are at 0.02 to 0.3 of the bound.
MARGIN = 4
WINOGRAD = 10  # its errors are so many times as large
# Where activations are quantized to 8 bits, an error moves some by one level of 255,
# and one level in a layer moves others: of the results' range.
LEVELS = 5 / 255
_EXACT = {
    *("astype", "broadcast_to", "clip", "concat", "expand_dims", "flatten", "max"),
    *("min", "nn.dropout", "nn.max_pool2d", "nn.relu", "nn.relu6", "permute_dims"),
    *("reshape", "split", "squeeze", "strided_slice", "take", "where"),
}
# Functions whose relative error is that of their argument times its magnitude, here up
# to 64; places between pixels are differences of numbers as large as an image.
_ENLARGED = dict.fromkeys(("sin", "cos", "tan", "exp", "power", "sinh", "cosh"), 4096)
_ENLARGED["image.resize2d"] = 256
_ALONG_AXES = ("nn.softmax", "nn.log_softmax", "nn.layer_norm", "cumsum")


def tolerance(graph: Graph, winograd: bool = False) -> float:
    """The difference to allow, relative to an element or its output's mean.

    graph: as frontends read it, before any pass. winograd: see build.Options.
    """
    if any(n.op == "round" for n in graph.nodes):
        return LEVELS
    paths: dict[Value, float] = {}
    for node in graph.nodes:
        longest = max((paths.get(v, 0.0) for v in node.inputs), default=0.0)
        paths |= dict.fromkeys(node.outputs, longest + _roundings(node))
    longest = max((paths.get(v, 0.0) for v in graph.outputs), default=0.0)
    margin = MARGIN * WINOGRAD if winograd else MARGIN
    return margin * ROUNDING * sqrt(max(longest, 1.0))


def _roundings(node: Node) -> float:
    """One after the other in a result: numbers that are added up."""
    if node.op in _EXACT or not node.inputs:
        return 0
    if node.op in _ENLARGED:
        return _ENLARGED[node.op]
    x, out = node.inputs[0], node.outputs[0]
    if node.op == "matmul":
        return x.shape[-1]
    if node.op == "library.gemm":
        return x.shape[0 if node.attributes.get("transA") else 1]
    if node.op == "library.conv" or node.op.startswith("nn.conv"):
        return prod(node.inputs[1].shape[1:])
    if node.op.startswith(_ALONG_AXES):
        axes = node.attributes.get("axes", node.attributes.get("axis", -1))
        axes = axes if isinstance(axes, list | tuple) else [axes or 0]
        return prod(x.shape[a] for a in axes)
    return max(x.count / out.count, 1) if out.count else 0
