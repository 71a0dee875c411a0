"""Shapes: what is known of a node's outputs before the model runs."""

from __future__ import annotations

from toolchain.graph.graph import Node


def infer(node: Node) -> None:
    """Set shape and sizes of a node's outputs, as far as they are known."""
