"""Operands of products of 8-bit integers: what dequantized tensors are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.graph.graph import Graph, Node, Value
from toolchain.graph.passes.epilogues import Array

EIGHT_BIT = ("int8", "uint8")


@dataclass
class Integers:
    """(values - zero) * scale. zero: [], of the values' dtype."""

    values: Value
    scale: float
    zero: Value | None


@dataclass
class Weights:
    """(data - zero) * scale, for each output channel. data: int8; zero: none of it is.

    axis: of the output channels.
    """

    name: str
    data: Array
    axis: int
    scale: Array
    zero: Array | None

    @property
    def channels(self) -> int:
        """How many output channels they have."""
        return int(self.data.shape[self.axis])

    @property
    def magnitude(self) -> Array:
        """The sum of |data - zero|, for each output channel."""
        rows = np.moveaxis(self.data, self.axis, 0).reshape(self.channels, -1)
        zero = 0 if self.zero is None else self.zero[:, None]
        return np.asarray(np.abs(rows.astype("int64") - zero).sum(1))


def number_of(node: Node, index: int, absent: float | None = None) -> float | None:
    """An input that is one constant number."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return absent
    return None if value.data is None or value.data.size != 1 else value.data.item()


class Operands:
    """What the values of a graph are made of."""

    def __init__(self, graph: Graph) -> None:
        self.makers = graph.producers()

    def dequantized(self, value: Value | None) -> Integers | None:
        """An 8-bit tensor by one scale, which is constant, and one zero point."""
        node = None if value is None else self.makers.get(value)
        if node is None or node.op != "dequantize_linear":
            return None
        x, scale, zero = node.inputs[0], number_of(node, 1), (*node.inputs, None)[2]
        if x is None or x.dtype not in EIGHT_BIT or scale is None or x.data is not None:
            return None
        if zero is not None and zero.data is not None and zero.data.size == 1:
            zero = Value.constant(zero.name, zero.data.reshape(()))
        if zero is not None and zero.shape != ():
            return None
        return Integers(x, scale, zero)

    def weights(
        self, value: Value | None, axis: int, turned: bool = False
    ) -> Weights | None:
        """Constant 8-bit weights with one scale, or one for each output channel.

        axis: of the output channels. turned: whether the product turns the matrix.
        """
        node = None if value is None else self.makers.get(value)
        perm: list[int] | None = None
        if node is not None and node.op == "transpose":
            perm = _perm(node)
            node = None if node.inputs[0] is None else self.makers.get(node.inputs[0])
        if node is None or node.op != "dequantize_linear" or node.inputs[0] is None:
            return None
        source, data = node.inputs[0], node.inputs[0].data
        scale, zero = ((*node.inputs, None)[i] for i in (1, 2))
        if data is None or source.dtype not in EIGHT_BIT or scale is None:
            return None
        given = node.attributes.get("axis", 1)
        along = int(given) % data.ndim if isinstance(given, (int, float)) else None
        if perm is not None:
            data, along = data.transpose(perm), perm.index(along or 0)
        if turned:
            data, along = data.T, 1 - (along or 0)
        if scale.data is None or (zero is not None and zero.data is None):
            return None
        if scale.data.size != 1 and along != axis:
            return None
        point = None if zero is None else zero.data
        return _made(source.name, data, axis, scale.data.reshape(-1), point)

    def integer_weights(
        self, value: Value | None, zero: Value | None
    ) -> Weights | None:
        """The constant second factor of a matmul_integer."""
        if value is None or value.data is None or value.data.ndim != 2:
            return None
        if zero is not None and zero.data is None:
            return None
        point = None if zero is None else zero.data
        return _made(value.name, value.data, 1, np.ones(1), point)


def _perm(node: Node) -> list[int]:
    given, x = node.attributes.get("perm", ()), node.inputs[0]
    perm = [int(a) for a in given] if isinstance(given, Sequence) else []
    rank = 0 if x is None or x.rank is None else x.rank
    return perm or list(range(rank))[::-1]


def _made(
    name: str, data: Array, axis: int, scale: Array, zero: Array | None
) -> Weights | None:
    """Weights as int8: what is uint8 has its zero points moved by 128."""
    channels = data.shape[axis]
    points = np.zeros(channels, "int32")
    if zero is not None:
        if zero.size not in (1, channels):
            return None
        points = points + zero.astype("int32").reshape(-1)
    if data.dtype == np.uint8:
        data, points = (data ^ 128).view("int8"), points - 128
    scales = np.broadcast_to(scale.astype("float64"), (channels,))
    return Weights(name, data, axis, scales, points if points.any() else None)
