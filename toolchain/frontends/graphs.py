"""Graphs: an ONNX file of any sizes as a Graph of operators of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from pathlib import Path
from typing import Any

from toolchain.frontends import Given, plain, unique
from toolchain.frontends.load import load, raise_some
from toolchain.frontends.nodes.convert import Converter, Refusal
from toolchain.frontends.nodes.rules import dtype_of_number
from toolchain.frontends.nodes.scope import Scope
from toolchain.frontends.refusals import Unsupported, reason_of, refuse
from toolchain.frontends.sizes import given_shapes, inputs_of, name_of, with_values
from toolchain.graph.builder import Builder
from toolchain.graph.graph import Graph, Value
from toolchain.graph.sizes import Size, named
from toolchain.spec import SpecError

GREATEST = (1 << 31) - 1  # of an open size


@dataclass(frozen=True)
class GraphModel:
    """A model as a Graph, whose inputs and outputs have names that C and Python take.

    notes: what the user should know of the file.
    """

    name: str
    graph: Graph
    notes: tuple[str, ...] = ()


def read_graph(path: Path, given: Given) -> GraphModel:
    """Read an ONNX file. Sizes that nobody gives stay open, and have names.

    Errors: SpecError, with every reason at once.
    """
    return graph_of(load(path), path.stem, given, str(path))


def graph_of(proto: Any, name: str, given: Given, where: str) -> GraphModel:
    """A loaded model as a Graph. where: what errors call it."""
    from onnx import inliner

    fixed = {n: k for n, k in given.dims.items() if isinstance(k, int)}
    proto = with_values(proto, replace(given, dims=fixed), where)
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    graph = Graph(plain(name))
    inputs = _inputs(proto, given, where)
    graph.sizes = _sizes(inputs, given)
    opsets = {
        "" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import
    }
    scope, converter = Scope(Builder(graph), opsets), Converter()
    weights = [i for i in proto.graph.input if i not in inputs_of(proto)]
    for value in weights:  # inputs with defaults, which are constants
        proto.graph.input.remove(value)
    names = [i.name for i in proto.graph.input]
    scope.values |= dict(zip(names, inputs, strict=True))
    try:
        results = converter.inlined(proto.graph, scope, "")
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    _raise(converter.refusals, where)
    graph.inputs, graph.outputs = inputs, [v for v in results if v is not None]
    _finish(scope, proto, where)
    return GraphModel(graph.name, graph)


def _inputs(proto: Any, given: Given, where: str) -> list[Value]:
    """The inputs as values, whose open sizes have names."""
    shapes, _ = given_shapes(proto, given, where)
    inputs = inputs_of(proto)
    values = []
    for value, name in zip(inputs, unique([i.name for i in inputs]), strict=True):
        kind, known = value.type.tensor_type, shapes[value.name]
        shape: tuple[Size | None, ...] | None = None
        if known is not None:
            shape = tuple(
                _named(d, f"{name}_{i}", given) if n is None else n
                for i, (n, d) in enumerate(zip(known, kind.shape.dim, strict=True))
            )
        values.append(Value(name, dtype_of_number(kind.elem_type), shape))
    return values


def _named(dim: Any, otherwise: str, given: Given) -> Size:
    """An open size by its name in the file, within the limits that are given."""
    name = name_of(dim)
    limits = given.dims.get(name) if name else None
    low, high = limits if isinstance(limits, tuple) else (0, GREATEST)
    return named(size_name(name) if name else otherwise, low, high)


def size_name(name: str) -> str:
    """A size's name as expressions of sizes take it."""
    name = plain(name)
    return f"{name}_" if iskeyword(name) or name in ("min", "max") else name


def _sizes(inputs: Sequence[Value], given: Given) -> dict[str, tuple[int, int]]:
    """Least and greatest of each open size."""
    open_ = [n for v in inputs for n in v.shape or () if not isinstance(n, int)]
    limits = {str(n): (0, GREATEST) for n in open_}
    for name, limit in given.dims.items():
        if isinstance(limit, tuple) and size_name(name) in limits:
            limits[size_name(name)] = limit
    return limits


def _raise(refusals: Sequence[Refusal], where: str) -> None:
    """Raise an error for refused nodes: for those that nothing knows, or the others."""
    unknown, groups = [], dict[tuple[str, str], list[str]]()
    for r in dict.fromkeys(refusals):
        operator = r.operator + (f" (domain {r.domain})" if r.domain else "")
        if r.unknown:
            reason = reason_of(r.operator, r.domain)
            reason = f": {reason}" if reason else ""
            unknown.append(Unsupported(operator, r.node, reason, chosen=False))
        groups.setdefault((operator, r.reason), []).append(r.node)
    if unknown:
        refuse(unknown, where)
    errors = []
    for (operator, reason), nodes in groups.items():
        several = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        errors.append(f"{where}: {operator}, node {nodes[0]}{several}: {reason}")
    raise_some(errors)


def _finish(scope: Scope, proto: Any, where: str) -> None:
    """Give outputs their names, each a value of its own; check what the file says."""
    graph = scope.builder.graph
    names = unique([o.name for o in proto.graph.output])
    own = {v for n in graph.nodes for v in n.outputs}
    outputs: list[Value] = []
    for name, value, output in zip(
        names, graph.outputs, proto.graph.output, strict=True
    ):
        wanted = dtype_of_number(output.type.tensor_type.elem_type)
        if value.dtype != wanted:
            raise SpecError(
                f"{where}: output {output.name!r} is declared {wanted} and computed "
                f"{value.dtype}; export the model again"
            )
        if value not in own or value in outputs:
            value = scope.builder.call("identity", value)
        value.name = name
        outputs.append(value)
    graph.outputs = outputs
    graph.remove_dead()
