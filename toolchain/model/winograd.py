"""Winograd: which convolutions may go by F(4 x 4, 3 x 3)."""

from __future__ import annotations

from toolchain.graph.passes.winograd import enough
from toolchain.model.graph import Node


def suits(node: Node) -> bool:
    """Whether a `conv` node may: 3 x 3 taps, stride 1, enough channels, no groups."""
    a, (features, channels, *taps) = node.attributes, node.inputs[1].shape
    ones = (a["groups"], *a["strides"], *a["dilations"])
    return taps == [3, 3] and set(ones) == {1} and enough(features, channels)
