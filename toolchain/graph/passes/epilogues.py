"""Epilogues: what follows a product and fits becomes part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.graph import Node, Value

UNLIMITED = (-inf, inf)
Array = NDArray[Any]


class Growing(Protocol):
    """A product while it grows.

    place: of what it makes in its result's shape, counted from the end.
    """

    node: Node
    place: int
    limits: tuple[float, float]

    @property
    def channels(self) -> int:
        """How many it makes."""
        ...


P = TypeVar("P", bound=Growing)


def constant(node: Node, index: int) -> Array | None:
    """A float32 input's elements, where they are constant."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.data is None or value.dtype != "float32":
        return None
    return value.data


def absorbed(
    product: P,
    rules: Mapping[str, Callable[[P, Node], bool]],
    users: dict[Value, list[Node]],
    kept: set[Value],
) -> Node | None:
    """Take the only user of a product into it; None where it does not fit."""
    value = product.node.output
    readers = users.get(value, [])
    if len(readers) != 1 or value in kept:
        return None
    (user,) = readers
    rule = rules.get(user.op)
    if rule is None or user.reads().count(value) != 1 or len(user.outputs) != 1:
        return None
    if not rule(product, user):
        return None
    product.node.outputs = user.outputs
    return user


def other(product: Growing, user: Node) -> Array | None:
    """The other operand, one number for each channel, where it is constant."""
    (index,) = [i for i, v in enumerate(user.inputs) if v is not product.node.output]
    return per_channel(product, constant(user, index))


def per_channel(product: Growing, data: Array | None) -> Array | None:
    """What broadcasts to a product's result, as one number for each channel."""
    rank = product.node.output.rank
    # More axes than the result has would give it more.
    if data is None or data.ndim > (product.place if rank is None else rank):
        return None
    wide = (1,) * (product.place - data.ndim) + data.shape
    places = [n for i, n in enumerate(wide) if len(wide) - i != product.place]
    if any(n != 1 for n in places) or data.size not in (1, product.channels):
        return None
    return np.broadcast_to(data.reshape(-1), (product.channels,)).astype("float64")


def _relu(product: Growing, user: Node) -> bool:
    del user
    if product.limits != UNLIMITED:
        return False
    product.limits = (0.0, inf)
    return True


def _clip(product: Growing, user: Node) -> bool:
    limits = [-inf, inf]
    for i, value in enumerate(user.inputs[1:]):
        if value is None:
            continue
        data = constant(user, i + 1)
        if data is None or data.size != 1:
            return False
        limits[i] = data.item()
    if product.limits != UNLIMITED or not limits[0] <= limits[1]:
        return False
    product.limits = (limits[0], limits[1])
    return True


LIMITS: dict[str, Callable[[Growing, Node], bool]] = {"relu": _relu, "clip": _clip}
