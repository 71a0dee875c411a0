"""Winograd: convolutions of 3 x 3 taps and stride 1 take fewer multiplications.

A pass for those who ask for it: its results round more, and its weights are four times
as large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.passes.epilogues import Array
from toolchain.graph.passes.products import panels
from toolchain.graph.shapes import infer

# The filter's transform, for interpolation at 0, 1, -1, 2, -2 and infinity.
G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
LEAST = 16  # channels: with fewer the transforms cost more than the products save
TAPS = 3


def transform(graph: Graph) -> None:
    """Replace convolutions that suit."""
    graph.nodes = [_transformed(n) if _suits(n) else n for n in graph.nodes]


def enough(features: int, channels: int) -> bool:
    """Whether a convolution has channels for it, of its result and of its image."""
    return min(features, channels) >= LEAST and channels % 4 == 0 and features % 8 == 0


def transformed(weights: Array) -> Array:
    """Weights [M, C, 3, 3] as panels [36 * ceil(M / 8), C, 8] of 36 matrices."""
    numbers = np.einsum("ir,mcrs,js->ijcm", G, weights.astype(np.float64), G)
    return np.concatenate([panels(m) for row in numbers for m in row])


def _suits(node: Node) -> bool:
    if node.op != "conv_packed":
        return False
    packed = node.inputs[1]
    if packed is None or packed.data is None:
        return False
    ones = [n for name in ("strides", "dilations") for n in _whole(node, name)]
    (features,) = _whole(node, "features")
    taps = _whole(node, "kernel_shape") == [TAPS, TAPS]
    channels = packed.data.shape[1] // TAPS**2
    return taps and set(ones) <= {1} and enough(features, channels)


def _whole(node: Node, name: str) -> list[int]:
    """Whole numbers of an attribute."""
    given = node.attributes.get(name, ())
    values = given if isinstance(given, Sequence) else [given]
    return [v for v in values if isinstance(v, int)]


def _transformed(node: Node) -> Node:
    x, packed, bias = node.inputs
    assert packed is not None
    assert packed.data is not None
    (features,) = _whole(node, "features")
    rows = packed.data.transpose(0, 2, 1).reshape(features, TAPS, TAPS, -1)
    data = transformed(rows.transpose(0, 3, 1, 2))
    weights = Value.constant(f"{packed.name}_winograd", data)
    if bias is None:
        zeros = np.zeros(features, "float32")
        bias = Value.constant(f"{node.output.name}_bias", zeros)
    kept = ("pads", "minimum", "maximum")
    attributes: dict[str, Attribute] = {
        n: a for n, a in node.attributes.items() if n in kept
    }
    made = Node(
        *("winograd_conv", [x, weights, bias], node.outputs, attributes, node.dtypes),
        place=node.place,
    )
    infer(made)
    return made
