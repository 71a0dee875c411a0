"""What a Graph gives, in numpy: operators by their files' references, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ops_wasm32.convert import Array

from toolchain.graph.graph import IF, LOOP, PREFIX, Attribute, Graph, Node, Value
from toolchain.graph.references import computed
from toolchain.graph.sizes import evaluate
from toolchain.graph.views import viewed

MOST_STEPS = 1 << 12  # of a loop without a count


def run(
    graph: Graph, inputs: Sequence[Array], names: Mapping[str, int] | None = None
) -> list[Array]:
    """The graph's outputs. names: of a region, what named sizes are."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    names = _names(values) if names is None else names
    for value, array in values.items():
        _check_known(value, array, names)
    for node in graph.nodes:
        given = [None if v is None else _read(values, v) for v in node.inputs]
        results = _run(node, given, values, names)
        for value, result in zip(node.outputs, results, strict=True):
            assert value not in values, f"{value.name} is written twice"
            assert str(result.dtype) == value.dtype, (node.op, result.dtype)
            _check_known(value, result, names)
            values[value] = result
    return [_read(values, v) for v in graph.outputs]


def _names(values: Mapping[Value, Array]) -> dict[str, int]:
    """What the sizes are that inputs name."""
    pairs = [(v.shape or (), a.shape) for v, a in values.items()]
    sizes = [p for names, numbers in pairs for p in zip(names, numbers, strict=True)]
    return {str(s): n for s, n in sizes if not isinstance(s, int)}


def _check_known(value: Value, array: Array, names: Mapping[str, int]) -> None:
    """What is known of a shape and of elements before must be so."""
    for known, found in (
        (value.shape, array.shape),
        (value.sizes, tuple(array.ravel().tolist())),
    ):
        if known is not None:
            assert len(found) == len(known), (value, found)
            pairs = [(n, m) for n, m in zip(known, found, strict=True) if n is not None]
            assert all(evaluate(n, names) == m for n, m in pairs), (value, found, names)


def _read(values: Mapping[Value, Array], value: Value) -> Array:
    return values[value] if value.data is None else value.data


def _run(
    node: Node,
    inputs: list[Array | None],
    values: Mapping[Value, Array],
    names: Mapping[str, int],
) -> Sequence[Array]:
    attributes = {n: _number(values, a) for n, a in node.attributes.items()}
    if node.op == IF:
        return _branch(node, inputs, names)
    if node.op == LOOP:
        return _loop(node, inputs, names)
    if node.op.startswith(PREFIX):
        assert inputs[0] is not None
        return [viewed(node.op, inputs[0], attributes)]
    return computed(replace(node, attributes=attributes), inputs)


def _number(values: Mapping[Value, Array], attribute: Attribute) -> Any:
    if isinstance(attribute, Value):
        return _read(values, attribute).tolist()
    return attribute


def _branch(
    node: Node, inputs: list[Array | None], names: Mapping[str, int]
) -> list[Array]:
    condition, *given = inputs
    assert condition is not None
    region = node.regions[0 if condition.item() else 1]
    return run(region, [v for v in given if v is not None], names)


def _loop(
    node: Node, inputs: list[Array | None], names: Mapping[str, int]
) -> list[Array]:
    count, condition, *given = inputs
    (region,) = node.regions
    carried = node.attributes["carried"]
    assert isinstance(carried, int)
    state = [v for v in given if v is not None]
    kept, outer = state[:carried], state[carried:]
    limit = MOST_STEPS if count is None else int(count.item())
    going = condition is None or bool(condition.item())
    rows: list[list[Array]] = [[] for _ in region.outputs[1 + carried :]]
    step = 0
    while going and step < limit:
        first = [np.array(step, "int64"), np.array(going)]
        go, *results = run(region, [*first, *kept, *outer], names)
        going = condition is None or bool(go.item())
        kept = results[:carried]
        for row, value in zip(rows, results[carried:], strict=True):
            row.append(value)
        step += 1
    pairs = zip(rows, region.outputs[1 + carried :], strict=True)
    return [*kept, *(_stacked(r, v) for r, v in pairs)]


def _stacked(rows: list[Array], value: Value) -> Array:
    """Results of a loop along a new axis; of no steps where sizes are known."""
    if rows:
        return np.stack(rows)
    sizes = [n if isinstance(n, int) else 0 for n in value.shape or ()]
    return np.zeros((0, *sizes), value.dtype)
