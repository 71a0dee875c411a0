"""Rules of sequences: their tensors are known one by one while a file is read."""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.scope import Items
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


def items_of(c: Call) -> list[Value]:
    """The tensors of the node's sequence."""
    value = c[0]
    if not isinstance(value, Items):
        raise SpecError("takes a sequence; export the model again")
    return value.items


def _place(c: Call, index: int, default: int | None = None) -> int:
    """A place in a sequence. Errors: SpecError where it is not constant or outside."""
    place, count = c.known(index, "position"), len(items_of(c))
    if place is None:
        place = default
    if not isinstance(place, int) or not -count <= place <= count:
        raise SpecError(f"has position {place} of a sequence of {count}")
    return place


@rule("SequenceConstruct", "SequenceEmpty")
def construct(c: Call) -> Value:
    """The inputs."""
    return Items(c.given())


@rule("SequenceInsert")
def insert(c: Call) -> Value:
    """One more tensor, at a place or at the end."""
    items = list(items_of(c))
    items.insert(_place(c, 2, len(items)), c[1])
    return Items(items)


@rule("SequenceErase")
def erase(c: Call) -> Value:
    """One tensor less, at a place or at the end."""
    items = list(items_of(c))
    items.pop(_place(c, 1, -1))
    return Items(items)


@rule("SequenceAt")
def at(c: Call) -> Value:
    """The tensor at a place."""
    items, place = items_of(c), _place(c, 1)
    if place == len(items):
        raise SpecError(f"has position {place} of a sequence of {len(items)}")
    return items[place]


@rule("SequenceLength")
def length(c: Call) -> Value:
    """How many tensors there are."""
    return c.constant(len(items_of(c)), "int64")


@rule("ConcatFromSequence")
def concat(c: Call) -> Value:
    """The tensors one after the other, or along a new axis."""
    items, axis = items_of(c), c.get("axis")
    if not items:
        raise SpecError("joins an empty sequence, whose shape is unknown")
    if c.get("new_axis", 0):
        items = [c.builder.unsqueeze(v, [axis]) for v in items]
    return c.call("concat", *items, axis=axis)


@rule("SplitToSequence")
def split(c: Call) -> Value:
    """Parts along an axis, as many as the sizes or the shape say."""
    x, axis, sizes = c[0], c.get("axis", 0), c.known(1, "split")
    size = None if x.shape is None else x.shape[axis]
    if not isinstance(sizes, list):
        if not isinstance(size, int):
            raise SpecError(f"needs the size of axis {axis}, which is open; give it")
        step = sizes or 1
        sizes = [min(step, size - i) for i in range(0, size, step)]
    given: dict[str, Any] = {"dtypes": None, "axis": axis, "split": sizes}
    parts = c.builder.calls("split", x, outputs=len(sizes), **given)
    if c.optional(1) is None and not c.get("keepdims", 1):
        parts = [c.builder.squeeze(v, [axis]) for v in parts]
    return Items(parts)
