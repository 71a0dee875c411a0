"""Calls: a node of an operator as its collapse sees it, before the model runs.

What is not known is None: a size, an element of an attribute, a whole shape whose rank
is unknown, a list whose length is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from toolchain.graph.graph import Attribute, Node, Value
from toolchain.graph.operators import operator
from toolchain.graph.sizes import Size, ceil_div, equal, maximum, minimum, product
from toolchain.spec import Attribute as Declared
from toolchain.spec import SpecError

Shape: TypeAlias = tuple[Size | None, ...] | None
Number: TypeAlias = Size | float | None


class Call:
    """A node of an operator: shapes of its inputs, and its attributes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.operator = operator(node.op)
        self.rule = self.operator.collapse.partition(".")[2]
        self.names = [i.name for i in self.operator.inputs]
        self._declared = {a.name: a for a in self.operator.attributes}

    def absent(self, i: int) -> bool:
        """Whether an optional input is left out."""
        return i >= len(self.node.inputs) or self.node.inputs[i] is None

    def shape(self, i: int) -> Shape:
        """Of an input that is given."""
        value = self.node.inputs[i]
        return None if value is None else value.shape

    @property
    def units(self) -> int | None:
        """How many units the call has: the runtime's `call->units`."""
        if any(t.variadic for t in self.operator.inputs):
            return len(self.node.inputs) - len(self.operator.inputs) + 1
        if any(t.variadic for t in self.operator.outputs):
            return len(self.node.outputs) - len(self.operator.outputs) + 1
        found: int | None = 0
        for attribute in self.operator.attributes:
            given = self.node.attributes.get(attribute.name)
            if not attribute.per_unit or given is None:
                continue
            entries = numbers_of(given)
            if entries is None:
                found = None
            elif entries:
                return len(entries) // attribute.per_unit
        return found

    def number(self, name: str) -> Number:
        """An attribute, or its default."""
        declared = self._declared[name]
        given = self.node.attributes.get(name)
        if given is None:
            return _whole(declared, declared.default)
        if isinstance(given, str):
            return self._choice(declared, given)
        entries = numbers_of(given) or [None]
        return entries[0]

    def integer(self, name: str) -> int | None:
        """An attribute, where it is a number."""
        found = self.number(name)
        return (
            None if found is None or not isinstance(found, (int, float)) else int(found)
        )

    def numbers(self, name: str) -> list[Number] | None:
        """The elements of a list; where it is left out, its default for each unit."""
        declared = self._declared[name]
        given = self.node.attributes.get(name)
        entries = None if given is None else numbers_of(given)
        if given is not None and entries is None:
            return None
        units = self.units
        if entries and units is not None and len(entries) != units * declared.per_unit:
            raise self.fail(
                f"{name} has {len(entries)} entries, but other lists or the tensors "
                f"are for {units * declared.per_unit}; give as many"
            )
        if entries or units is None:
            return entries or None
        return [_whole(declared, declared.default)] * (units * declared.per_unit)

    def sizes(self, name: str) -> list[Size | None] | None:
        """The elements of a list of integers."""
        found = self.numbers(name)
        if found is None:
            return None
        return [int(v) if isinstance(v, float) else v for v in found]

    def axis(self, name: str, rank: int) -> int | None:
        """An axis from 0 on; SpecError where it is none of so many."""
        found = self.integer(name)
        return None if found is None else self.axis_of(name, found, rank)

    def axis_of(self, name: str, axis: int, rank: int) -> int:
        """An axis counted from 0; SpecError where it is none of so many."""
        return axis_of(self.node.op, name, axis, rank)

    def count(self, shape: Shape) -> Size | None:
        """The elements of a shape."""
        return count_of(shape)

    def least(self, *sizes: Size) -> Size:
        """The least of some sizes."""
        return minimum(*sizes)

    def steps(self, span: Size, step: int) -> Size:
        """How many steps of at least 1 it takes to cover a span; 0 where it is none."""
        return maximum(0, ceil_div(span, step))

    def fail(self, text: str) -> SpecError:
        """What to raise where no call could succeed."""
        return SpecError(f"{self.node.op}: {text}")

    def same(self, sizes: Iterable[Size | None], where: str) -> Size | None:
        """What sizes that must be equal are, from those that are known."""
        return same(self.node.op, sizes, where)

    def _choice(self, declared: Declared, given: str) -> int:
        if given not in declared.choices:
            raise self.fail(
                f"{declared.name} is {given!r}; use one of "
                f"{', '.join(declared.choices)}"
            )
        return declared.choices.index(given)


def numbers_of(given: Attribute) -> list[Number] | None:
    """The elements of an attribute; None where even their count is unknown."""
    if isinstance(given, Value):
        if given.data is not None:
            return list(given.data.ravel().tolist())
        if given.sizes is not None:
            return list(given.sizes)
        known = given.known
        count = None if known is None else 1 if not known else known[0]
        return None if count is None else [None] * count
    if isinstance(given, Sequence) and not isinstance(given, str):
        return list(given)
    return None if isinstance(given, str) else [given]


def axis_of(op: str, name: str, axis: int, rank: int) -> int:
    """An axis counted from 0; SpecError where it is none of so many."""
    if not -rank <= axis < rank:
        raise SpecError(
            f"{op}: {name} {axis} is outside rank {rank}; use {-rank}..{rank - 1}"
        )
    return axis % rank


def same(op: str, sizes: Iterable[Size | None], where: str) -> Size | None:
    """What sizes that must be equal are: a number before an expression.

    Errors: SpecError where two of them never are equal; where: "rows of a and of b".
    """
    found: Size | None = None
    for size in sizes:
        if size is None:
            continue
        if found is not None and equal(found, size) is False:
            raise SpecError(f"{op}: {where} must be equal, got {found} and {size}")
        if found is None or isinstance(size, int):
            found = size
    return found


def count_of(sizes: Shape) -> Size | None:
    """The elements of a shape, or of a part of it."""
    known = [s for s in sizes or () if s is not None]
    return None if sizes is None or len(known) < len(sizes) else product(known)


def agreed(shapes: Sequence[Shape]) -> Shape:
    """What several shapes have in common: sizes that are equal in all."""
    known = [s for s in shapes if s is not None]
    if len(known) < len(shapes) or len({len(s) for s in known}) != 1:
        return None
    columns = zip(*known, strict=True)
    return tuple(c[0] if all(s == c[0] for s in c) else None for c in columns)


def _whole(declared: Declared, value: float | None) -> Number:
    if value is None or declared.kind == "float":
        return value
    return int(value)
