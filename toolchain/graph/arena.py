"""Arena: what a graph's values take together where all of its sizes are the greatest.

The twin of runtime_stub/graph.c, which plans a segment, and of graph_arena.c:
tests/test_bounded_arena.py holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from toolchain.abi import ALIGNMENT, MAX_SIZE
from toolchain.graph.graph import SHAPE, VIEWS, Graph, Node, Value
from toolchain.graph.operators import operator
from toolchain.graph.schedule import Schedule, is_late, schedule
from toolchain.graph.sizes import evaluate

GAPS = 64  # OPS_GAPS of graph_arena.h
# Each element is read before it is written: operands may lie where the result does.
_IN_PLACE = "elementwise"


@dataclass
class Arena:
    """Memory that values share which live at different times.

    top: bytes that were taken at most. gaps: start and end of each.
    """

    top: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def take(self, size: int) -> int:
        """The offset of the smallest gap of that size, or of the top."""
        rooms = [(end - start, i) for i, (start, end) in enumerate(self.gaps)]
        room, i = min((r for r in rooms if r[0] >= size), default=(0, -1))
        if i < 0:
            return self._extend(size)
        start, end = self.gaps[i]
        self.gaps[i] = start + size, end
        if room == size:
            self._drop(i)
        return start

    def _extend(self, size: int) -> int:
        start = self.top
        last = next((i for i, gap in enumerate(self.gaps) if gap[1] == self.top), None)
        if last is not None:
            start = self.gaps[last][0]
            self._drop(last)
        self.top = start + size
        return start

    def give(self, start: int, size: int) -> None:
        """Leave a gap, joined with those beside it; of too many the smallest goes."""
        end, i = start + size, 0
        while i < len(self.gaps):
            low, high = self.gaps[i]
            if high != start and low != end:
                i += 1
                continue
            start, end = min(start, low), max(end, high)
            self._drop(i)
        if len(self.gaps) < GAPS:
            self.gaps.append((start, end))
            return
        rooms = [(high - low, i) for i, (low, high) in enumerate(self.gaps)]
        self.gaps[min(rooms)[1]] = start, end

    def _drop(self, i: int) -> None:
        self.gaps[i] = self.gaps[-1]
        self.gaps.pop()


def arena_bytes(graph: Graph) -> int | None:
    """Bytes of a call's arena, where each named size is the greatest that it may be.

    None where that does not follow from the graph: sizes without bounds, results whose
    sizes follow from elements, loops and branches, which have arenas of their own.
    """
    if any(high >= MAX_SIZE for _, high in graph.sizes.values()):
        return None
    if any(n.regions or is_late(n) for n in graph.nodes):
        return None
    plan = schedule(graph)
    try:
        return _planned(plan, _sizes(graph)) if len(plan.segments) == 1 else None
    except KeyError:  # a size that no input binds
        return None


def _sizes(graph: Graph) -> dict[Value, int]:
    """Bytes of each value. Errors: KeyError for one that follows from elements."""
    most = {name: high for name, (_, high) in graph.sizes.items()}
    found = {}
    for value in (v for n in graph.nodes for v in n.outputs):
        if value.shape is None or None in value.shape:
            raise KeyError(value.name)
        count = prod(evaluate(n, most) for n in value.shape if n is not None)
        found[value] = count * np.dtype(value.dtype).itemsize
    return found


def _planned(plan: Schedule, sizes: dict[Value, int]) -> int:
    """The bytes that all steps take, one after the other."""
    arena, offsets = Arena(), dict[Value, int]()
    results = {v for v in plan.memory if v is not None}
    for node in plan.nodes:
        if node.op in VIEWS:
            continue
        last = plan.last.get(node, [])
        passed = None
        for value in node.outputs:
            if node in plan.early or value in results:
                continue
            passed = _operand(node, last, offsets, sizes)
            if passed is None:
                offsets[value] = arena.take(_round_up(sizes[value]))
            else:
                offsets[value] = offsets[passed]
        for value in last:
            if value in offsets and value is not passed:
                arena.give(offsets[value], _round_up(sizes[value]))
    return arena.top


def _operand(
    node: Node, last: list[Value], offsets: dict[Value, int], sizes: dict[Value, int]
) -> Value | None:
    """An operand that this node reads last, whose place its result takes."""
    if node.op == SHAPE or len(node.outputs) != 1:
        return None
    if operator(node.op).collapse.partition(".")[0] != _IN_PLACE:
        return None
    (out,) = node.outputs
    width = np.dtype(out.dtype).itemsize
    for value in last:
        same = value in offsets and sizes[value] == sizes[out]
        if same and value is not out and np.dtype(value.dtype).itemsize == width:
            return value
    return None


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
