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

    proto, notes = without_maps(with_values(proto, given, where))
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    opsets = {
        "" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import
    }
    scope, converter = started(proto, name, opsets, given, where), Converter()
    try:
        results = converter.inlined(proto.graph, scope, "")
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    raise_refusals(converter.refusals, where)
    found = [v for v in results if v is not None]
    found, more = _as_declared(found, scope, proto, where)
    names = [o.name for o in proto.graph.output]
    return finished(scope, found, names, (*notes, *more))


def started(
    proto: Any, name: str, opsets: dict[str, int], given: Given, where: str
) -> Scope:
    """The scope of a new graph, with the inputs of a model that are no weights."""
    graph = Graph(plain(name), halves=_has_halves(proto))
    _read_inputs(proto, given, graph, where)
    scope = Scope(Builder(graph), opsets)
    names = [i.name for i in inputs_of(proto)]
    scope.values |= {
        n: as_dtype(scope.builder, v, inner(v.dtype))
        for n, v in zip(names, graph.inputs, strict=True)
    }
    return scope


def without_maps(proto: Any) -> tuple[Any, tuple[str, ...]]:
    """The model with outputs of ZipMap as tensors, changed in place, and notes."""
    notes = []
    outputs = {o.name: o for o in proto.graph.output}
    for node in proto.graph.node:
        output = outputs.get(node.output[0]) if node.op_type == "ZipMap" else None
        if output is None:
            continue
        output.type.Clear()
        output.type.tensor_type.elem_type = 1  # float32
        labels = [n for a in node.attribute for n in a.ints]
        labels += [t.decode() for a in node.attribute for t in a.strings]
        shown = ", ".join(map(str, labels[:10]))
        notes.append(f"{output.name} is a tensor; its columns are classes {shown}")
    return proto, tuple(notes)


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


def raise_refusals(
    refusals: Sequence[Refusal], where: str, page: str = "docs/onnx.md"
) -> None:
    """Raise an error for refused nodes: for those that nothing knows, or the others.

    page: the document that lists what is known.
    """
    unknown, groups = [], dict[tuple[str, str], list[str]]()
    for r in dict.fromkeys(refusals):
        operator = r.operator + (f" (domain {r.domain})" if r.domain else "")
        if r.unknown:
            reason = reason_of(r.operator, r.domain)
            reason = f": {reason}" if reason else ""
            unknown.append(Unsupported(operator, r.node, reason, chosen=False))
        groups.setdefault((operator, r.reason), []).append(r.node)
    if unknown:
        refuse(unknown, where, page)
    errors = []
    for (operator, reason), nodes in groups.items():
        several = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        errors.append(f"{where}: {operator}, node {nodes[0]}{several}: {reason}")
    raise_some(errors)


def _as_declared(
    results: Sequence[Value], scope: Scope, proto: Any, where: str
) -> tuple[list[Value], list[str]]:
    """Results in the dtypes that the file declares; notes of other declared shapes.

    Errors: SpecError for results of other dtypes than that.
    """
    found, notes = [], list[str]()
    for value, output in zip(results, proto.graph.output, strict=True):
        notes += _declared_otherwise(output, value, scope.builder.graph)
        wanted = dtype_of_number(output.type.tensor_type.elem_type)
        if wanted != value.dtype == inner(wanted):
            value = as_dtype(scope.builder, value, wanted)
        if value.dtype != wanted:
            raise SpecError(
                f"{where}: output {output.name!r} is declared {wanted} and computed "
                f"{value.dtype}; export the model again"
            )
        found.append(value)
    return found, notes


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


def finished(
    scope: Scope,
    results: Sequence[Value],
    names: Sequence[str],
    notes: Sequence[str] = (),
) -> GraphModel:
    """The model with these outputs, each a value of its own."""
    graph = scope.builder.graph
    own = {v for n in graph.nodes for v in n.outputs}
    for name, result in zip(unique(names), results, strict=True):
        value = result
        if value not in own or value in graph.outputs:
            value = scope.builder.call("identity", value)
        value.name = name
        graph.outputs.append(value)
    graph.remove_dead()
    return GraphModel(graph.name, graph, tuple(notes))
