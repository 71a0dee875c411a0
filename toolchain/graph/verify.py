"""Verify: that a graph does not contradict itself, after each pass.

A mistake of a pass would be a wrong result, or a call that the runtime refuses. This
finds it where it is made, in time linear in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from toolchain.graph.arguments import check_arguments
from toolchain.graph.graph import IF, LOOP, Graph, Node, Value
from toolchain.graph.shapes import infer, text
from toolchain.graph.sizes import Size, equal, names
from toolchain.spec import SpecError


def verify(graph: Graph, after: str) -> None:
    """SpecError where a graph is wrong; after: the pass that made it so.

    Each value is written once and before it is read, constants are what their values
    say, nodes are as their operators take them, sizes follow from the inputs' names,
    and what is known of shapes does not contradict what the operators say.
    """
    bound = {str(s) for v in graph.inputs for s in v.shape or () if names(s or 0)}
    _Verifier(f"after {after}: ", bound).graph(graph)


class _Verifier:
    """where: what errors begin with. bound: names of sizes. within: a region."""

    def __init__(self, where: str, bound: set[str], within: bool = False) -> None:
        self.where, self.bound, self.within = where, bound, within
        self.known: set[Value] = set()

    def graph(self, graph: Graph) -> None:
        """Check a graph or a region."""
        for value in graph.inputs:
            self._define(value, "the inputs")
        for i, node in enumerate(graph.nodes):
            self._node(node, f"node {i} ({node.op})")
        for value in graph.outputs:
            self._read(value, "the outputs")

    def _node(self, node: Node, at: str) -> None:
        for value in node.reads():
            self._read(value, at)
        try:
            check_arguments(node)
            self._shapes(node)
            _REGIONS.get(node.op, _none)(node)
        except SpecError as error:
            raise self._wrong(at, str(error)) from None
        for value in node.outputs:
            self._define(value, at)
        for region in node.regions:
            where = f"{self.where}{at}: {region.name}: "
            _Verifier(where, self.bound, within=True).graph(region)

    def _define(self, value: Value, at: str) -> None:
        if value in self.known:
            raise self._wrong(at, f"{value.name} is written a second time")
        if value.data is not None:
            raise self._wrong(at, f"{value.name} is written, but it is a constant")
        free = set().union(*(names(s) for s in _sizes(value))) - self.bound
        if free:
            raise self._wrong(
                at, f"{value.name} {text(value.shape)} has {min(free)}, no input's size"
            )
        self.known.add(value)

    def _read(self, value: Value, at: str) -> None:
        """A value must be written already, or be a constant that is as it says."""
        if value in self.known:
            return
        if value.data is None:
            within = ", or is no input of its region" if self.within else ""
            raise self._wrong(
                at, f"{value.name} is read, but nothing wrote it before{within}"
            )
        if (value.data.shape, str(value.data.dtype)) != (value.shape, value.dtype):
            raise self._wrong(
                at,
                f"the constant {value.name} is {value.dtype}{text(value.shape)}, its "
                f"elements are {value.data.dtype}{list(value.data.shape)}",
            )

    def _shapes(self, node: Node) -> None:
        """What is known of the outputs, beside what the operator says."""
        fresh = [Value(v.name, v.dtype) for v in node.outputs]
        try:
            infer(replace(node, outputs=fresh))
        except SpecError:
            if self.within:  # it may never run; the runtime says it where it does
                return
            raise
        for value, other in zip(node.outputs, fresh, strict=True):
            if not (_fit(value.shape, other.shape) and _fit(value.sizes, other.sizes)):
                raise SpecError(
                    f"{value.name} has shape {text(value.shape)} and elements "
                    f"{text(value.sizes)}, but the operator gives {text(other.shape)} "
                    f"and {text(other.sizes)}"
                )

    def _wrong(self, at: str, what: str) -> SpecError:
        return SpecError(f"{self.where}{at}: {what}; this is a mistake in toolchain")


def _sizes(value: Value) -> Iterable[Size]:
    return (s for s in (*(value.shape or ()), *(value.sizes or ())) if s is not None)


def _fit(a: tuple[Size | None, ...] | None, b: tuple[Size | None, ...] | None) -> bool:
    """Whether two pieces of knowledge may both be true."""
    if a is None or b is None:
        return True
    pairs = zip(a, b, strict=False)
    known = ((m, n) for m, n in pairs if m is not None and n is not None)
    return len(a) == len(b) and all(equal(m, n) is not False for m, n in known)


def _if(node: Node) -> None:
    """A condition; regions then and else, over the other inputs."""
    _count("regions", 2, len(node.regions))
    condition, *inputs = node.inputs
    _same("its condition", [Value("", "bool")], [condition])
    for region in node.regions:
        _same(f"inputs of {region.name}", inputs, region.inputs)
        _same(f"outputs of {region.name}", node.outputs, region.outputs)


def _loop(node: Node) -> None:
    """Count and condition, what is carried, and what the region reads beside it."""
    _count("regions", 1, len(node.regions))
    (region,), carried = node.regions, node.attributes["carried"]
    assert isinstance(carried, int)
    count, condition, *inputs = node.inputs
    go = Value("", "bool")
    _same("its count", [Value("", "int64")], [count or Value("", "int64")])
    _same("its condition", [go], [condition or go])
    step = Value("", "int64")
    _same(f"inputs of {region.name}", [step, go, *inputs], region.inputs)
    _same(f"outputs of {region.name}", [go, *node.outputs], region.outputs)
    _same("what is carried", inputs[:carried], list(node.outputs[:carried]))


def _none(node: Node) -> None:
    _count("regions", 0, len(node.regions))


def _count(what: str, wanted: int, got: int) -> None:
    if wanted != got:
        raise SpecError(f"has {got} {what}, but takes {wanted}")


def _same(
    what: str, wanted: Iterable[Value | None], got: Iterable[Value | None]
) -> None:
    """Values of the same dtypes."""
    a, b = (
        [None if v is None else v.dtype for v in values] for values in (wanted, got)
    )
    if a != b:
        raise SpecError(f"{what} have dtypes {b}, but must have {a}")


_REGIONS: dict[str, Callable[[Node], None]] = {IF: _if, LOOP: _loop}
