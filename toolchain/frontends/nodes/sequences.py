"""Rules of sequences.

Their tensors are known one by one while a file is read, or they are rows that a loop
has added.
"""

from __future__ import annotations

from typing import Any

from toolchain.frontends.nodes.movement import after_each_other
from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.scope import REFUSED, Growing, Items
from toolchain.frontends.nodes.shapes import rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


def sequence_of(c: Call) -> Items:
    """The node's sequence."""
    value = c[0]
    if isinstance(value, Growing):
        raise SpecError("reads a sequence that a loop adds to; use tensors")
    if not isinstance(value, Items):
        raise SpecError("takes a sequence; export the model again")
    return value


def items_of(c: Call) -> list[Value]:
    """The tensors of the node's sequence."""
    found = sequence_of(c)
    if found.rows is not None:
        raise SpecError("changes a sequence of unknown length; use tensors")
    return found.items


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
    before = c[0]
    if c.optional(2) is None and isinstance(before, Growing):
        return Growing(before.start, [*before.added, c[1]])
    if c.optional(2) is None and isinstance(before, Items) and before.rows is not None:
        last = c.builder.unsqueeze(c[1], [0])
        return Items(before.items, c.call("concat", before.rows, last, axis=0))
    items = list(items_of(c))
    items.insert(_place(c, 2, len(items)), c[1])
    return Items(items)


@rule("SequenceErase")
def erase(c: Call) -> Value:
    """One tensor less, at a place or at the end."""
    items = list(items_of(c))
    items.pop(_place(c, 1, -1))
    return Items(items)


def stacked(c: Call, found: Items) -> Value:
    """All tensors along a new first axis. Errors: SpecError where there are none."""
    parts = [c.builder.unsqueeze(v, [0]) for v in found.items]
    parts += [] if found.rows is None else [found.rows]
    if not parts:
        raise SpecError("joins an empty sequence, whose shape is unknown")
    return after_each_other(c, parts, 0) if len(parts) > 1 else parts[0]


@rule("SequenceAt")
def at(c: Call) -> Value:
    """The tensor at a place."""
    found, place = sequence_of(c), c.setting(1)
    if isinstance(place, Value) or found.rows is not None:
        where = place if isinstance(place, Value) else c.constant(place, "int64")
        return c.call("gather", stacked(c, found), where, axis=0)
    place = _place(c, 1)
    if place == len(found.items):
        raise SpecError(f"has position {place} of a sequence of {len(found.items)}")
    return found.items[place]


@rule("SequenceLength")
def length(c: Call) -> Value:
    """How many tensors there are."""
    found = sequence_of(c)
    known = c.constant(len(found.items), "int64")
    if found.rows is None:
        return known
    count = c.builder.reshape(size_at(c, found.rows, 0), [])
    return c.call("add", count, known) if found.items else count


@rule("ConcatFromSequence")
def concat(c: Call) -> Value:
    """The tensors one after the other, or along a new axis."""
    found, axis, new = sequence_of(c), c.get("axis"), c.get("new_axis", 0)
    if found.rows is not None:
        return _joined_rows(c, stacked(c, found), axis, new)
    items = found.items
    if not items:
        raise SpecError("joins an empty sequence, whose shape is unknown")
    if new:
        items = [c.builder.unsqueeze(v, [axis]) for v in items]
    return after_each_other(c, items, axis)


def _joined_rows(c: Call, rows: Value, axis: int, new: int) -> Value:
    """Rows one after the other along an axis of theirs, or a new one."""
    rank = rank_of(rows, "a sequence")
    place = axis % (rank if new else rank - 1)
    order = [*range(1, place + 1), 0, *range(place + 1, rank)]
    moved = c.call("transpose", rows, perm=order) if place else rows
    if new:
        return moved
    sizes = [size_at(c, moved, i) for i in range(rank)]
    shape = [*sizes[:place], c.constant([-1], "int64"), *sizes[place + 2 :]]
    return c.builder.reshape(moved, plain_numbers(c.call("concat", *shape, axis=0)))


@rule("SplitToSequence")
def split(c: Call) -> Value:
    """Parts along an axis, as many as the sizes or the shape say.

    The standard has keepdims for an absent split alone; PyTorch writes a split of 1
    with it, and ONNX Runtime takes it so.
    """
    x, axis, sizes = c[0], c.get("axis", 0), c.known(1, "split")
    kept = bool(c.get("keepdims", 1)) or (c.optional(1) is not None and sizes != 1)
    size = None if x.shape is None else x.shape[axis]
    if not isinstance(sizes, list):
        step = sizes or 1
        if not isinstance(size, int):
            return _each(c, x, axis, step, kept)
        sizes = [min(step, size - i) for i in range(0, size, step)]
    given: dict[str, Any] = {"dtypes": None, "axis": axis, "split": sizes}
    parts = c.builder.calls("split", x, outputs=len(sizes), **given)
    if not kept:
        parts = [c.builder.squeeze(v, [axis]) for v in parts]
    return Items(parts)


def _each(c: Call, x: Value, axis: int, step: int, kept: bool) -> Value:
    """Slices of size 1 along an axis of unknown size."""
    if step != 1:
        raise SpecError(
            f"cuts an axis of unknown size in parts of {step}, of which the last may "
            "be shorter; give the size by --dim"
        )
    rank = rank_of(x)
    place = axis % rank
    order = [place, *(i for i in range(rank) if i != place)]
    rows = c.call("transpose", x, perm=order) if place else x
    if kept:
        rows = c.builder.unsqueeze(rows, [place + 1])
    return Items([], rows)


@rule("SequenceMap")
def each(c: Call) -> Any:
    """A body for each tensor of a sequence, and what stands beside it in others."""
    body, count = c.attributes["body"], len(items_of(c))
    found: list[list[Value]] = [[] for _ in body.output]
    for i in range(count):
        scope = c.scope.inner()
        for name, value in zip(body.input, c.inputs, strict=True):
            item = value.items[i] if isinstance(value, Items) else value
            scope.values[name.name] = item
        results = c.regions.inlined(body, scope, f"{c.path}{i}/")
        if REFUSED in results:
            return [REFUSED] * len(body.output)
        for items, result in zip(found, results, strict=True):
            items += [] if result is None else [result]
    return [Items(items) for items in found]
