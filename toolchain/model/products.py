"""Products: what follows a convolution or a product with weights becomes part of it.

A `conv` node has inputs x, w (NCHW, OIHW) and the attributes strides, pads,
dilations, groups; a `dense` node x [..., K] and w [K, N]. Both have bias (numpy, one
number for each output channel, or None) and limits. Convolutions in groups stay
`nn.conv2d`, and have a bias.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Graph, Node, Value

CONV, DENSE, GROUPED = "conv", "dense", "nn.conv2d"
UNLIMITED = (-inf, inf)


def fuse(graph: Graph) -> None:
    """Make conv and dense nodes, with what follows them."""
    for node in graph.nodes:
        if node.op == GROUPED and _has_filters(node):
            _start_convolution(node)
        if node.op == "matmul" and _has_weights(node):
            node.op, node.attributes = DENSE, {"bias": None, "limits": UNLIMITED}
    users, kept = graph.users(), set(graph.outputs)
    for node in list(graph.nodes):
        if node.op in (CONV, DENSE, GROUPED) and "limits" in node.attributes:
            while _absorb(node, users, kept):
                pass
    graph.remove_dead()


def _has_filters(node: Node) -> bool:
    attributes, (x, w) = node.attributes, node.inputs
    layouts = attributes["data_layout"], attributes["kernel_layout"]
    known = w.data is not None and x.dtype == w.dtype == "float32"
    return known and layouts == ("NCHW", "OIHW")


def _has_weights(node: Node) -> bool:
    x, w = node.inputs
    constant = w.data is not None and len(w.shape) == 2
    return constant and len(x.shape) > 1 and x.dtype == "float32"


def _start_convolution(node: Node) -> None:
    old, (x, w) = node.attributes, node.inputs
    added = {"bias": None, "limits": UNLIMITED}
    depthwise = w.shape[1] == 1 and w.shape[0] == x.shape[1]
    if old["groups"] > 1 and not depthwise:
        old |= added
        return
    node.op = CONV
    node.attributes = {
        "strides": tuple(old["strides"]),
        "pads": tuple(old["padding"]),
        "dilations": tuple(old["dilation"]),
        "groups": old["groups"],
        **added,
    }


def _absorb(conv: Node, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Take the only user of a convolution's result into it, where it fits.

    The user stays in the graph without results, and so is dead. kept: outputs of the
    graph, which no user may take away.
    """
    readers = users.get(conv.output, [])
    if len(readers) != 1 or conv.output in kept:
        return False
    (user,) = readers
    rule = _RULES.get(user.op)
    result, *others = user.outputs
    if rule is None or any(v in users or v in kept for v in others):
        return False
    if not rule(conv, user):
        return False
    conv.outputs, user.outputs = [result], []
    return True


def _scale(conv: Node, factor: NDArray[Any], shift: NDArray[Any]) -> None:
    """Result * factor + shift, for each output channel."""
    w = conv.inputs[1]
    assert w.data is not None
    shaped = factor if conv.op == DENSE else factor.reshape(-1, 1, 1, 1)
    scaled = (w.data.astype("float64") * shaped).astype("float32")
    conv.inputs[1] = Value.constant(w.name, scaled)
    bias = conv.attributes["bias"]
    before = 0.0 if bias is None else bias.astype("float64")
    conv.attributes["bias"] = (before * factor + shift).astype("float32")


def _is_open(conv: Node) -> bool:
    """Whether nothing but a bias has come after the sum yet."""
    return bool(conv.attributes["limits"] == UNLIMITED)


def _batch_norm(conv: Node, user: Node) -> bool:
    others = [v.data for v in user.inputs[1:]]
    if any(d is None for d in others) or not _is_open(conv):
        return False
    gamma, beta, mean, variance = (np.asarray(d, "float64") for d in others)
    factor = gamma / np.sqrt(variance + user.attributes["epsilon"])
    _scale(conv, factor, beta - mean * factor)
    return True


def _per_channel(conv: Node, value: Value) -> NDArray[Any] | None:
    """A constant as one number for each output channel."""
    rank = len(conv.output.shape)
    axis = rank - 1 if conv.op == DENSE else 1
    channels = conv.output.shape[axis]
    if value.data is None or value.data.ndim > rank:
        return None
    shape = (1,) * (rank - value.data.ndim) + value.data.shape
    spread = [1] * rank
    spread[axis] = channels
    if shape not in (tuple(spread), (1,) * rank):
        return None
    return np.broadcast_to(value.data.reshape(-1), (channels,)).astype("float64")


def _other(conv: Node, user: Node) -> Value:
    a, b = user.inputs
    return b if a is conv.output else a


def _add(conv: Node, user: Node) -> bool:
    shift = _per_channel(conv, _other(conv, user))
    if shift is None or not _is_open(conv):
        return False
    _scale(conv, np.ones_like(shift), shift)
    return True


def _multiply(conv: Node, user: Node) -> bool:
    factor = _per_channel(conv, _other(conv, user))
    if factor is None or not _is_open(conv):
        return False
    _scale(conv, factor, np.zeros_like(factor))
    return True


def _limit(conv: Node, low: float, high: float) -> bool:
    if conv.op == GROUPED or conv.attributes["limits"] != UNLIMITED:
        return False
    conv.attributes["limits"] = (low, high)
    return True


Rule = Callable[[Node, Node], bool]
_RULES: dict[str, Rule] = {
    "nn.batch_norm": _batch_norm,
    "add": _add,
    "multiply": _multiply,
    "nn.relu": lambda conv, user: _limit(conv, 0.0, inf),
    "nn.relu6": lambda conv, user: _limit(conv, 0.0, 6.0),
    "clip": lambda conv, user: _limit(
        conv, user.attributes["min"], user.attributes["max"]
    ),
}
