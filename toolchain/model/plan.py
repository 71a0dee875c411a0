"""Plan: where each intermediate of a model lies in its arena."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from toolchain.abi import ALIGNMENT
from toolchain.model.graph import Graph, Value


@dataclass(frozen=True)
class Plan:
    """offsets: of each intermediate, in bytes. lower_bound: the largest live set.

    live: for each node, the bytes that are alive while it runs.
    """

    offsets: Mapping[Value, int]
    size: int
    lower_bound: int
    live: tuple[int, ...]


def aligned(size: int) -> int:
    """The next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def plan(graph: Graph, aliases: Mapping[Value, Value]) -> Plan:
    """Offsets packed over live ranges, large values first.

    aliases: values that are another one's memory (reshapes).
    """
    fixed = {root(v, aliases) for v in (*graph.inputs, *graph.outputs)}
    ranges: dict[Value, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        for value in (*node.inputs, *node.outputs):
            base = root(value, aliases)
            if base.data is None and base not in fixed:
                ranges.setdefault(base, [i, i])[1] = i
    live = _live(ranges, len(graph.nodes))
    offsets = _best(ranges)
    size = max((o + aligned(v.bytes) for v, o in offsets.items()), default=0)
    return Plan(offsets, size, max(live, default=0), live)


def _live(ranges: dict[Value, list[int]], steps: int) -> tuple[int, ...]:
    """The bytes that are alive in each step."""
    changes = [0] * (steps + 1)
    for value, (first, last) in ranges.items():
        changes[first] += aligned(value.bytes)
        changes[last + 1] -= aligned(value.bytes)
    return tuple(accumulate(changes[:steps]))


def root(value: Value, aliases: Mapping[Value, Value]) -> Value:
    """The value whose memory it is."""
    while value in aliases:
        value = aliases[value]
    return value


def _best(ranges: dict[Value, list[int]]) -> dict[Value, int]:
    """The smallest of a few greedy packings."""
    number = {v: i for i, v in enumerate(ranges)}
    orders = (
        lambda v: (-v.bytes, number[v]),
        lambda v: (-v.bytes * (ranges[v][1] - ranges[v][0] + 1), number[v]),
        lambda v: (ranges[v][0] - ranges[v][1], -v.bytes, number[v]),
    )
    tried = [_pack(sorted(ranges, key=order), ranges) for order in orders]
    return min(tried, key=lambda o: max((a + v.bytes for v, a in o.items()), default=0))


def _pack(order: list[Value], ranges: dict[Value, list[int]]) -> dict[Value, int]:
    """Each value in the first gap between values that live at the same time."""
    placed = _Placed(ranges)
    offsets: dict[Value, int] = {}
    for value in order:
        offsets[value] = placed.gap(value)
        placed.add(value, offsets[value])
    return offsets


class _Placed:
    """Values that have their offsets, found by when they live.

    They are kept in groups by how long they live: 1, 2 to 3, 4 to 7, ... steps, each in
    the order of their first steps. Those of a group that live at the same time as
    another value are then neighbours, among whom few are others.
    """

    def __init__(self, ranges: dict[Value, list[int]]) -> None:
        self.ranges = ranges
        groups: dict[int, list[Value]] = {}
        for value, (first, last) in sorted(ranges.items(), key=lambda item: item[1]):
            groups.setdefault((last - first + 1).bit_length(), []).append(value)
        self.groups = {
            bits: _Group([ranges[v][0] for v in values], [ranges[v][1] for v in values])
            for bits, values in groups.items()
        }
        self.place = {
            value: (self.groups[bits], i)
            for bits, values in groups.items()
            for i, value in enumerate(values)
        }

    def add(self, value: Value, offset: int) -> None:
        """Keep the memory of a value."""
        group, i = self.place[value]
        group.memory[:, i] = offset, offset + aligned(value.bytes)

    def gap(self, value: Value) -> int:
        """The first offset where a value meets none that lives when it does."""
        first, last = self.ranges[value]
        parts = [
            part
            for bits, group in self.groups.items()
            if (part := group.alive(first - (1 << bits) + 2, first, last)) is not None
        ]
        if not parts:
            return 0
        starts, ends = np.concatenate(parts, axis=1)
        order = starts.argsort()
        # Memory is free from the furthest end so far to the next start.
        free = np.maximum.accumulate(np.append(0, ends[order]))
        wide = starts[order] - free[:-1] >= aligned(value.bytes)
        return int(free[wide.argmax() if wide.any() else -1])


class _Group:
    """Values by their first steps; memory: start and end of each, -1 where unknown."""

    def __init__(self, firsts: list[int], lasts: list[int]) -> None:
        self.firsts, self.lasts = firsts, np.array(lasts)
        self.memory: NDArray[np.int64] = np.full((2, len(firsts)), -1)

    def alive(self, earliest: int, first: int, last: int) -> NDArray[np.int64] | None:
        """Memory of the values that live between two steps; None for none.

        earliest: the first step of the longest of the group that reaches `first`.
        """
        a, b = bisect_left(self.firsts, earliest), bisect_right(self.firsts, last)
        if a == b:
            return None
        memory = self.memory[:, a:b]
        found = (self.lasts[a:b] >= first) & (memory[0] >= 0)
        return memory[:, found] if found.any() else None
