"""Scope: values by the names that a file gives them.

A region reads nothing but its inputs and constants: what it takes from the graph around
it becomes an input of the region, and of the node that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.graph.builder import Builder
from toolchain.graph.graph import Graph, Value

# Stands for what a refused node would have made.
REFUSED = Value("refused", "")


class Items(Value):
    """A sequence of tensors: it is no value of the graph.

    items: those whose number is known. rows: those after them, all of one shape, along
    a new first axis; None where there are none.
    """

    def __init__(self, items: Sequence[Value], rows: Value | None = None) -> None:
        super().__init__("sequence", "sequence")
        self.items, self.rows = list(items), rows

    def of(self, items: Sequence[Value]) -> Items:
        """The same of other tensors."""
        return Items(items)


class Growing(Value):
    """A sequence inside a loop, which adds to its end and reads nothing of it.

    start: as a step finds it; added: by the step.
    """

    def __init__(
        self, start: Growing | None = None, added: Sequence[Value] = ()
    ) -> None:
        super().__init__("growing", "sequence")
        self.start, self.added = start or self, list(added)


class Scope:
    """Names of a graph, a region or a function's body. outer: where others are sought.

    taken: values from around a region, and the region's inputs for them.
    """

    def __init__(
        self,
        builder: Builder,
        opsets: dict[str, int],
        outer: Scope | None = None,
        *,
        is_region: bool = False,
    ) -> None:
        self.builder, self.opsets, self.outer = builder, opsets, outer
        self.is_region = is_region
        self.values: dict[str, Value | None] = {"": None}
        self.taken: dict[Value, Value] = {}

    def __getitem__(self, name: str) -> Value | None:
        """The value of a name; None where it is absent. Errors: KeyError."""
        if name in self.values or self.outer is None:
            return self.values[name]
        found = self.outer[name]
        return self.take(found) if self.is_region and found is not None else found

    def take(self, value: Value) -> Value:
        """A value from around the region, as the region has it."""
        if value is REFUSED or value.data is not None:
            return value
        if isinstance(value, Items):
            found = value.of([self.take(v) for v in value.items])
            found.rows = None if value.rows is None else self.take(value.rows)
            return found
        if value not in self.taken:
            name = f"outer_{len(self.taken)}_{value.name}"
            sizes = value.sizes
            self.taken[value] = Value(name, value.dtype, value.shape, sizes=sizes)
        return self.taken[value]

    def region(self, name: str) -> Scope:
        """A scope for a region of a node of this graph."""
        builder = Builder(Graph(name), region=True)
        builder.place = self.builder.place
        return Scope(builder, self.opsets, self, is_region=True)

    def inner(self) -> Scope:
        """A scope for a graph whose nodes come into this one."""
        return Scope(self.builder, self.opsets, self)

    def body(self, opsets: dict[str, int], values: dict[str, Value | None]) -> Scope:
        """A scope for the body of a function, in the same graph."""
        inside = Scope(self.builder, opsets)
        inside.values |= values
        return inside

    def finish(self, inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
        """The region, without nodes that nothing needs, and with what it reads last."""
        graph = self.builder.graph
        graph.outputs = list(outputs)
        graph.remove_dead()
        read = {v for n in graph.nodes for v in n.reads()} | set(graph.outputs)
        self.taken = {o: v for o, v in self.taken.items() if v in read}
        graph.inputs = [*inputs, *self.taken.values()]
        return graph
