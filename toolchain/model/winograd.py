"""Winograd: which convolutions may go by F(4 x 4, 3 x 3), and their weights for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Node

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


def suits(node: Node) -> bool:
    """Whether a `conv` node may: 3 x 3 taps, stride 1, enough channels, no groups."""
    a, (features, channels, *taps) = node.attributes, node.inputs[1].shape
    return (
        taps == [3, 3]
        and all(n == 1 for n in (a["groups"], *a["strides"], *a["dilations"]))
        and min(features, channels) >= LEAST
        and channels % 4 == features % 8 == 0
    )


def transformed(weights: NDArray[Any]) -> NDArray[Any]:
    """Weights [M, C, 3, 3] as 36 matrices [36, C, M]."""
    numbers = np.einsum("ir,mcrs,js->ijcm", G, weights.astype(np.float64), G)
    matrices: NDArray[Any] = numbers.reshape(-1, *numbers.shape[2:])
    return matrices.astype(np.float32)
