"""Images: convolutions of images with their channels last, between transposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolchain.graph.graph import (
    PREFIX,
    SQUEEZE,
    UNSQUEEZE,
    Attribute,
    Node,
    Value,
)
from toolchain.graph.shapes import infer


def node_for(
    source: Node,
    op: str,
    inputs: list[Value | None],
    name: str,
    attributes: Mapping[str, Attribute],
    dtype: str = "float32",
    variant: tuple[str, ...] | None = None,
) -> Node:
    """A node that does part of the work of another one. dtype: of its output."""
    variant = (dtype,) if variant is None else variant
    dtypes = () if op.startswith(PREFIX) else variant
    out = Value(name, dtype)
    node = Node(op, inputs, [out], dict(attributes), dtypes, place=source.place)
    infer(node)
    return node


def channels_last(
    node: Node, x: Value, axes: int, make: Callable[[Value], Node]
) -> list[Node]:
    """What `make` makes of NHWC, of NWC as one row; transposes before and after.

    axes: spatial ones, 1 or 2. The last node writes the outputs of `node`.
    """
    one = axes == 1
    order = [0, 2, 1] if one else [0, 2, 3, 1]
    back = [0, 2, 1] if one else [0, 3, 1, 2]
    name = node.output.name
    nodes: list[Node] = []

    def add(op: str, source: Value, **attributes: Attribute) -> Value:
        made = node_for(
            node, op, [source], f"{name}_{op[-7:]}", attributes, source.dtype
        )
        nodes.append(made)
        return made.output

    value = add("transpose", x, perm=order)
    nodes.append(make(add(UNSQUEEZE, value, axes=[1]) if one else value))
    value = nodes[-1].output
    add("transpose", add(SQUEEZE, value, axes=[1]) if one else value, perm=back)
    nodes[-1].outputs = node.outputs
    return nodes


def windows(node: Node, axes: int) -> dict[str, list[int]]:
    """Strides, pads and dilations of two axes; of one axis in its place."""

    def listed(name: str, preset: int, per: int) -> list[int]:
        given = node.attributes.get(name)
        values = [int(v) for v in given] if given else []  # type: ignore[union-attr]
        if not values:
            return [preset] * 2 * per
        if axes != 1:
            return values
        return [v for part in values for v in (preset, part)]

    return {
        "strides": listed("strides", 1, 1),
        "pads": listed("pads", 0, 2),
        "dilations": listed("dilations", 1, 1),
    }
