"""What a Graph gives, in numpy: operators by their files' references, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ops_wasm32.convert import Array

from toolchain.graph.graph import IF, LOOP, PREFIX, Attribute, Graph, Node, Value
from toolchain.graph.references import computed
from toolchain.graph.views import viewed

MOST_STEPS = 1 << 12  # of a loop without a count


def run(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The graph's outputs."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        given = [None if v is None else _read(values, v) for v in node.inputs]
        results = _run(node, given, values)
        for value, result in zip(node.outputs, results, strict=True):
            assert value not in values, f"{value.name} is written twice"
            assert str(result.dtype) == value.dtype, (node.op, result.dtype)
            _check_shape(value, result.shape)
            values[value] = result
    return [_read(values, v) for v in graph.outputs]


def _check_shape(value: Value, shape: tuple[int, ...]) -> None:
    """What is known of a shape before must be so."""
    if value.shape is not None:
        assert len(shape) == len(value.shape), (value, shape)
        pairs = zip(value.shape, shape, strict=True)
        assert all(n == m for n, m in pairs if isinstance(n, int)), (value, shape)


def _read(values: Mapping[Value, Array], value: Value) -> Array:
    return values[value] if value.data is None else value.data


def _run(
    node: Node, inputs: list[Array | None], values: Mapping[Value, Array]
) -> Sequence[Array]:
    attributes = {n: _number(values, a) for n, a in node.attributes.items()}
    if node.op == IF:
        return _branch(node, inputs)
    if node.op == LOOP:
        return _loop(node, inputs)
    if node.op.startswith(PREFIX):
        assert inputs[0] is not None
        return [viewed(node.op, inputs[0], attributes)]
    return computed(replace(node, attributes=attributes), inputs)


def _number(values: Mapping[Value, Array], attribute: Attribute) -> Any:
    if isinstance(attribute, Value):
        return _read(values, attribute).tolist()
    return attribute


def _branch(node: Node, inputs: list[Array | None]) -> list[Array]:
    condition, *given = inputs
    assert condition is not None
    region = node.regions[0 if condition.item() else 1]
    return run(region, [v for v in given if v is not None])


def _loop(node: Node, inputs: list[Array | None]) -> list[Array]:
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
        go, *results = run(region, [*first, *kept, *outer])
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
