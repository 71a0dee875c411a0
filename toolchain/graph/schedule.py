"""Schedule: when a graph's nodes run, and when their values' memory is free again.

Shapes are found before a segment's first node runs. A node whose attributes are
elements of a value needs them by then, so that what makes these elements is early: it
runs while shapes are found. Where they follow from what the segment computes, another
segment begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.graph.graph import IF, LOOP, SHAPE, VIEWS, Graph, Node, Value
from toolchain.graph.operators import operator

CONTROL = (IF, LOOP)


@dataclass(frozen=True)
class Schedule:
    """Nodes in the order in which they run.

    segments: of each the number of the node after it. early: nodes that run while
    shapes are found. last: of each node the values whose memory nothing reads after it.
    memory: of each output the value that may be computed where the output lies.
    reads_elements: early nodes read elements of the graph's inputs.
    """

    nodes: list[Node]
    segments: list[int]
    early: set[Node]
    last: dict[Node, list[Value]]
    memory: list[Value | None]
    reads_elements: bool


def is_late(node: Node) -> bool:
    """Whether the sizes of its outputs are known only when it has run."""
    if node.op in CONTROL:
        return True
    if node.op.startswith("graph."):
        return False
    return any(getattr(o, "late", False) for o in operator(node.op).outputs)


def schedule(graph: Graph) -> Schedule:
    """Put the nodes of a graph in order."""
    return _Scheduler(graph).made()


class _Scheduler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.wanted = self._wanted_early()
        # The segment of each value from which on its elements can be read while
        # shapes are found, and its shape.
        self.elements: dict[Value, int] = dict.fromkeys(graph.inputs, 0)
        self.shapes: dict[Value, int] = dict.fromkeys(graph.inputs, 0)
        self.early: set[Node] = set()
        self.segment: dict[Node, int] = {}

    def _wanted_early(self) -> set[Node]:
        """What attributes are made of, as far as it follows from small tensors."""
        producers = self.graph.producers()
        found: set[Node] = set()
        left = [
            v
            for n in self.graph.nodes
            for v in n.attributes.values()
            if isinstance(v, Value)
        ]
        while left:
            node = producers.get(left.pop())
            if node is None or node in found or node.op in CONTROL:
                continue
            found.add(node)
            if node.op != SHAPE:
                left += node.reads()
        found |= {n for n in self.graph.nodes if n.op == SHAPE}
        return found

    def _assign(self, node: Node) -> None:
        """The segment of a node, and whether it is early there."""
        inputs = [v for v in node.inputs if v is not None]
        numbers = [v for v in node.attributes.values() if isinstance(v, Value)]
        at = max((self.shapes.get(v, 0) for v in inputs), default=0)
        at = max((at, *(self.elements.get(v, 0) for v in numbers)))
        if node in self.wanted:
            ready = [] if node.op == SHAPE else inputs
            if all(self.elements.get(v, 0) <= at for v in ready):
                self.early.add(node)
        self.segment[node] = at
        early = node in self.early
        for value in node.outputs:
            self.shapes[value] = at + (is_late(node) and not early)
            self.elements[value] = at if early else at + 1

    def made(self) -> Schedule:
        for node in self.graph.nodes:
            self._assign(node)
        nodes = sorted(self.graph.nodes, key=lambda n: self.segment[n])
        ends = [
            i
            for i, n in enumerate(nodes, 1)
            if i == len(nodes) or self.segment[nodes[i]] != self.segment[n]
        ]
        roots = _roots(nodes)
        return Schedule(
            nodes,
            ends or [0],
            self.early,
            self._last(nodes, roots),
            self._memory(roots),
            self._reads_elements(),
        )

    def _reads_elements(self) -> bool:
        """Whether the plan of the first segment follows from elements of inputs."""
        given = set(self.graph.inputs)
        reads = {
            v
            for n in self.graph.nodes
            for v in (n.reads() if n in self.early and n.op != SHAPE else ())
        }
        numbers = {
            v
            for n in self.graph.nodes
            for v in n.attributes.values()
            if isinstance(v, Value)
        }
        return bool(given & (reads | numbers))

    def _last(
        self, nodes: list[Node], roots: dict[Value, Value]
    ) -> dict[Node, list[Value]]:
        """Of each node the values that it reads last.

        Memory of an arena goes back where the same segment made the value; blocks of
        control flow at any time.
        """
        kept = {roots.get(v, v) for v in self.graph.outputs}
        makers = self.graph.producers()
        readers: dict[Value, Node] = {}
        for node in nodes:
            for value in (*node.reads(), *node.outputs):
                readers[roots.get(value, value)] = node
        last: dict[Node, list[Value]] = {}
        for value, node in readers.items():
            maker = makers.get(value)
            if maker is None or value in kept or maker in self.early:
                continue
            same = self.segment[maker] == self.segment[node]
            if maker.op in CONTROL or same:
                last.setdefault(node, []).append(value)
        return last

    def _memory(self, roots: dict[Value, Value]) -> list[Value | None]:
        """Where outputs may be computed: each by a node of its own."""
        makers = self.graph.producers()
        taken: set[Value] = set()
        found: list[Value | None] = []
        for value in self.graph.outputs:
            base = roots.get(value, value)
            maker = makers.get(base)
            plain = maker is not None and maker not in self.early
            plain = plain and not is_late(maker) and base not in taken  # type: ignore[arg-type]
            taken.add(base)
            found.append(base if plain else None)
        return found


def _roots(nodes: list[Node]) -> dict[Value, Value]:
    """The value whose memory a view is."""
    roots: dict[Value, Value] = {}
    for node in nodes:
        source = node.inputs[0] if node.inputs else None
        if node.op in VIEWS and source is not None:
            roots[node.output] = roots.get(source, source)
    return roots
