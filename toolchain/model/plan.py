"""Plan: where each intermediate of a model lies in its arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolchain.model.graph import Graph, Value

ALIGNMENT = 64


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
    live = tuple(
        sum(aligned(v.bytes) for v, (a, b) in ranges.items() if a <= i <= b)
        for i in range(len(graph.nodes))
    )
    offsets = _best(ranges)
    size = max((o + aligned(v.bytes) for v, o in offsets.items()), default=0)
    return Plan(offsets, size, max(live, default=0), live)


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
    """Each value in the first gap between those that live at the same time."""
    offsets: dict[Value, int] = {}
    for value in order:
        first, last = ranges[value]
        taken = sorted(
            (o, o + aligned(v.bytes))
            for v, o in offsets.items()
            if ranges[v][0] <= last and first <= ranges[v][1]
        )
        at = 0
        for start, end in taken:
            if at + aligned(value.bytes) <= start:
                break
            at = max(at, end)
        offsets[value] = at
    return offsets
