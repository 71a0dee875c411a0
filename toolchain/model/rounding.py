"""Rounding: how far a model's float32 results may be from those of another order.

See toolchain/graph/rounding.py.
"""

from __future__ import annotations

from math import prod, sqrt

from toolchain.graph.rounding import ENLARGED, LEVELS, MARGIN, ROUNDING, WINOGRAD
from toolchain.model.graph import Graph, Node, Value

_EXACT = {
    *("astype", "broadcast_to", "clip", "concat", "expand_dims", "flatten", "max"),
    *("min", "nn.dropout", "nn.max_pool2d", "nn.relu", "nn.relu6", "permute_dims"),
    *("reshape", "split", "squeeze", "strided_slice", "take", "where"),
}
_ENLARGED = dict.fromkeys(
    ("sin", "cos", "tan", "exp", "power", "sinh", "cosh"), ENLARGED
)
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
