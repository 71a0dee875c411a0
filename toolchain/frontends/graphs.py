"""Graphs: an ONNX file of any sizes as a Graph of operators of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.abi import MAX_SIZE
from toolchain.frontends import Given, plain, unique
from toolchain.frontends.load import load, raise_some
from toolchain.frontends.nodes.convert import Converter, Refusal
from toolchain.frontends.nodes.rules import INNER, as_dtype, dtype_of_number, inner
from toolchain.frontends.nodes.scope import Scope
from toolchain.frontends.refusals import Unsupported, reason_of, refuse
from toolchain.frontends.sizes import (
    by_file,
    called,
    given_shapes,
    inputs_of,
    names_of,
    with_values,
)
from toolchain.graph.builder import Builder
from toolchain.graph.graph import Graph, Value
from toolchain.graph.shapes import text
from toolchain.graph.sizes import Size, named
from toolchain.spec import SpecError


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

    proto = with_values(proto, given, where)
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    graph = Graph(plain(name), halves=_has_halves(proto))
    _read_inputs(proto, given, graph, where)
    opsets = {
        "" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import
    }
    scope, converter = Scope(Builder(graph), opsets), Converter()
    weights = [i for i in proto.graph.input if i not in inputs_of(proto)]
    for value in weights:  # inputs with defaults, which are constants
        proto.graph.input.remove(value)
    names = [i.name for i in proto.graph.input]
    scope.values |= {
        n: as_dtype(scope.builder, v, inner(v.dtype))
        for n, v in zip(names, graph.inputs, strict=True)
    }
    try:
        results = converter.inlined(proto.graph, scope, "")
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    _raise(converter.refusals, where)
    graph.outputs = [v for v in results if v is not None]
    notes = _finish(scope, proto, where)
    return GraphModel(graph.name, graph, tuple(notes))


def _has_halves(proto: Any) -> bool:
    """Whether weights, inputs or outputs have 16 bits."""
    kinds = [w.data_type for w in proto.graph.initializer]
    values = (*proto.graph.input, *proto.graph.output)
    kinds += [v.type.tensor_type.elem_type for v in values]
    return any(dtype_of_number(k) in INNER for k in dict.fromkeys(kinds) if k)


def _read_inputs(proto: Any, given: Given, graph: Graph, where: str) -> None:
    """Give the graph its inputs, whose open sizes have names and bounds."""
    shapes, _ = given_shapes(proto, given, where)
    inputs = inputs_of(proto)
    given, names = by_file(given, inputs), names_of(inputs)
    new = called(names.values())
    sizes: dict[str, tuple[int, int]] = {}
    for value, name in zip(inputs, unique([i.name for i in inputs]), strict=True):
        dtype = dtype_of_number(value.type.tensor_type.elem_type)
        graph.inputs.append(Value(name, dtype))
        known = shapes[value.name]
        if known is None:
            continue
        shape: list[Size | None] = []
        here = names[value.name] or [""] * len(known)
        for size, said in zip(known, here, strict=True):
            if size is None:
                bounds = given.dims.get(said)
                low, high = bounds if isinstance(bounds, tuple) else (0, MAX_SIZE)
                sizes[new[said]] = low, high
                shape.append(named(new[said], low, high))
            else:
                shape.append(size)
        graph.inputs[-1].shape = tuple(shape)
    graph.sizes = sizes


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


def _finish(scope: Scope, proto: Any, where: str) -> list[str]:
    """Give outputs their names, each a value of its own; check what the file says.

    Notes: declared shapes that are not the results', of which ONNX Runtime warns too.
    """
    graph, notes = scope.builder.graph, list[str]()
    names = unique([o.name for o in proto.graph.output])
    own = {v for n in graph.nodes for v in n.outputs}
    outputs: list[Value] = []
    for name, value, output in zip(
        names, graph.outputs, proto.graph.output, strict=True
    ):
        wanted = dtype_of_number(output.type.tensor_type.elem_type)
        if wanted != value.dtype == inner(wanted):
            value = as_dtype(scope.builder, value, wanted)
            own.add(value)
        if value.dtype != wanted:
            raise SpecError(
                f"{where}: output {output.name!r} is declared {wanted} and computed "
                f"{value.dtype}; export the model again"
            )
        notes += _declared_otherwise(output, value, graph)
        if value not in own or value in outputs:
            value = scope.builder.call("identity", value)
        value.name = name
        outputs.append(value)
    graph.outputs = outputs
    graph.remove_dead()
    return notes


def _declared_otherwise(output: Any, value: Value, graph: Graph) -> list[str]:
    """A note where the file declares another shape than a result has."""
    kind = output.type.tensor_type
    if not kind.HasField("shape") or value.shape is None:
        return []
    declared: list[int | str | None] = [
        d.dim_value if d.HasField("dim_value") else d.dim_param or None
        for d in kind.shape.dim
    ]
    pairs = zip(declared, value.shape, strict=False)
    fit = all(n == m for n, m in pairs if isinstance(n, int) and isinstance(m, int))
    if fit and len(declared) == len(value.shape):
        return []
    maker = next((n.place for n in graph.nodes if value in n.outputs), "the graph")
    return [
        f"warning: {maker}: output {output.name!r} is declared as {text(declared)}, "
        f"and is {text(value.shape)}"
    ]
