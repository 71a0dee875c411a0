"""Chains: elementwise nodes whose result one node alone reads become part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from toolchain.abi import MAX_ATTRIBUTES, MAX_INPUTS
from toolchain.graph.chains import Chain, Number, Operand, Parameter, Step
from toolchain.graph.graph import Attribute, Graph, Node, Value
from toolchain.graph.operators import add_chain, operator
from toolchain.graph.shapes import infer
from toolchain.spec import Pointwise

# Of other dtypes LLVM would have to know which arithmetic wraps.
DTYPES = ("float32", "bool")
# These do no arithmetic in 8 bits. Their numbers differ from node to node.
BYTES = ("quantize", "dequantize")
MOST = 24  # steps of a chain: a loop keeps its values in registers

# TVM does not come to an end on more limits, one in the other.
LIMITS = {"clip": 2, "minimum": 1, "maximum": 1, "relu": 1, "quantize": 2}
MOST_LIMITS = 3
# It takes twice as long for each node that reads one result twice, as x * x.
MOST_DOUBLED = 10

# Kernels that are alike but for their numbers, from which on these are operands: one
# kernel then takes less code than so many that are a little faster.
MANY = 4


@dataclass
class _Cluster:
    """Nodes of a chain, in order."""

    nodes: list[Node]

    def reads(self) -> list[Value]:
        """What they read that is no result of theirs, and no number."""
        made = {n.output for n in self.nodes}
        read = [
            v
            for n in self.nodes
            for v in n.inputs
            if v is not None and v not in made and not is_number(n, v)
        ]
        return list(dict.fromkeys(read))

    def fits(self) -> bool:
        """Whether they are one chain."""
        limits = sum(LIMITS.get(n.op, 0) for n in self.nodes)
        few = len(self.reads()) <= MAX_INPUTS and len(self.nodes) <= MOST
        doubled = sum(len(set(n.inputs)) < len(n.inputs) for n in self.nodes)
        if limits > MOST_LIMITS or doubled > MOST_DOUBLED:
            return False
        numbers = sum(len(n.attributes) for n in self.nodes if n.op in BYTES)
        return few and numbers <= MAX_ATTRIBUTES


def join(graph: Graph) -> None:
    """Join elementwise nodes."""
    users, kept = graph.users(), set(graph.outputs)
    open_ends: dict[Value, _Cluster] = {}
    clusters: dict[Node, _Cluster] = {}
    for node in graph.nodes:
        if not _fits(node):
            continue
        cluster = _Cluster([node])
        for value in dict.fromkeys(v for v in node.inputs if v in open_ends):
            assert value is not None
            joined = _Cluster([*open_ends[value].nodes, *cluster.nodes])
            if joined.fits():
                del clusters[open_ends[value].nodes[-1]]
                cluster = joined
        clusters[node] = cluster
        if len(users.get(node.output, [])) == 1 and node.output not in kept:
            open_ends[node.output] = cluster
    _replace(graph, [c for c in clusters.values() if len(c.nodes) > 1])


def _replace(graph: Graph, clusters: list[_Cluster]) -> None:
    varying = _varying(clusters)
    chains = {
        c.nodes[-1]: _chained(c, varying.get(i, ())) for i, c in enumerate(clusters)
    }
    gone = {n for c in clusters for n in c.nodes[:-1]}
    graph.nodes = [chains.get(n, n) for n in graph.nodes if n not in gone]


def _fits(node: Node) -> bool:
    """Whether a node is a formula of elements that has no loops of its own."""
    if not node.dtypes or len(node.outputs) != 1:
        return False
    found = operator(node.op)
    values = [*node.reads(), node.output]
    if not found.collapse.startswith("elementwise.") or not node.inputs:
        return False
    formula = isinstance(found.compute, Pointwise) and found.compute.loops is None
    plain = all(isinstance(v, (int, float, str)) for v in node.attributes.values())
    typed = node.op in BYTES or all(v.dtype in DTYPES for v in values)
    return formula and plain and typed


def is_number(node: Node, value: Value) -> bool:
    """Whether an input of a node is a constant number that gives it no more axes."""
    if value.data is None or value.data.size != 1:
        return False
    ranks = [v.rank for v in node.inputs if v is not None and v is not value]
    return value.data.ndim == 0 or any(
        r is not None and r >= value.data.ndim for r in ranks
    )


def _varying(clusters: list[_Cluster]) -> dict[int, Sequence[int]]:
    """Of clusters that are many kernels, but for their numbers: those that differ."""
    alike: dict[tuple[Step, ...], list[tuple[int, tuple[float, ...]]]] = {}
    for i, cluster in enumerate(clusters):
        steps, _ = _steps(cluster, cluster.reads(), ())
        numbers = tuple(n.value for s in steps for n in _numbers(s))
        key = tuple(map(_without_numbers, steps))
        alike.setdefault(key, []).append((i, numbers))
    found: dict[int, Sequence[int]] = {}
    for group in alike.values():
        if len({numbers for _, numbers in group}) >= MANY:
            columns = list(zip(*(numbers for _, numbers in group), strict=True))
            differ = [k for k, column in enumerate(columns) if len(set(column)) > 1]
            cluster = clusters[group[0][0]]
            _, given = _steps(cluster, cluster.reads(), differ)
            if len(given) <= MAX_ATTRIBUTES:
                found |= {i: differ for i, _ in group}
    return found


def _numbers(step: Step) -> list[Number]:
    """Constant operands that an attribute may give as well."""
    numbers = [o for o in step.operands if isinstance(o, Number)]
    return [n for n in numbers if n.dtype == "float32" and isfinite(n.value)]


def _without_numbers(step: Step) -> Step:
    numbers = _numbers(step)
    operands = tuple(None if o in numbers else o for o in step.operands)
    return replace(step, operands=operands)  # type: ignore[arg-type]


def _chained(cluster: _Cluster, varying: Sequence[int]) -> Node:
    """The one node that does a cluster's work. varying: numbers that it is given."""
    inputs = cluster.reads()
    steps, numbers = _steps(cluster, inputs, varying)
    chain = Chain(tuple(v.dtype for v in inputs), tuple(steps))
    last = cluster.nodes[-1]
    name = add_chain(chain)
    variant = chain.variant()
    made = Node(name, list(inputs), last.outputs, numbers, variant, place=last.place)
    infer(made)
    return made


def _steps(
    cluster: _Cluster, inputs: Sequence[Value], varying: Sequence[int]
) -> tuple[list[Step], dict[str, Attribute]]:
    """The steps of a chain, and the numbers that a node of it gives.

    varying: those of _numbers that are among them.
    """
    places = {v: i for i, v in enumerate(inputs)}
    numbers: dict[str, Attribute] = {}
    steps, count = list[Step](), 0
    for node in cluster.nodes:
        step = _step(node, places, numbers)
        plain, operands = _numbers(step), list(step.operands)
        for at, operand in enumerate(operands):
            if not isinstance(operand, Number) or operand not in plain:
                continue
            if count in varying:
                operands[at] = parameter = Parameter(f"number{len(numbers)}", "float")
                numbers[parameter.name] = operand.value
            count += 1
        steps.append(replace(step, operands=tuple(operands)))
        places[node.output] = len(places)
    return steps, numbers


def _step(node: Node, places: dict[Value, int], numbers: dict[str, Attribute]) -> Step:
    """numbers: those of the chain, to which a step adds its own."""
    found = operator(node.op)
    operands: list[Operand] = []
    for i, tensor in enumerate(found.inputs):
        value = node.inputs[i] if i < len(node.inputs) else None
        if value is None:
            dtype = node.inputs[0].dtype if node.inputs[0] else "float32"
            operands.append(Number.of(tensor.fill, dtype))
        elif value in places:
            operands.append(places[value])
        else:
            assert value.data is not None
            operands.append(Number(value.data.item(), value.dtype))
    given: list[tuple[str, float | Parameter]] = []
    for attribute in found.attributes:
        number = node.attributes.get(attribute.name, attribute.default)
        if isinstance(number, str):
            number = attribute.choices.index(number)
        assert isinstance(number, (int, float))
        if node.op in BYTES:
            parameter = Parameter(f"number{len(numbers)}", attribute.kind)
            numbers[parameter.name] = number
            given.append((attribute.name, parameter))
        else:
            given.append((attribute.name, number))
    return Step(node.op, node.dtypes, tuple(given), tuple(operands))
