"""Axes: nodes along axes as instances of the library's operators of rows.

As runtime_stub/collapse_rows.c does it for the library: rows that lie last, or with
other axes behind them (columns), are taken where they are; others are moved first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from toolchain.frontends.library import has, operator
from toolchain.model.graph import KERNEL, VIEW, Node, Value
from toolchain.model.kernels import Instance
from toolchain.model.layout import permutation

REGISTER = 16  # bytes that columns fill at least


def along(
    name: str,
    node: Node,
    axes: Iterable[int],
    attributes: Mapping[str, float],
    whole: bool = False,
) -> list[Node] | None:
    """Kernels of a node over rows, which some axes of its first input make.

    whole: the output has the input's shape. Other inputs have the shape of a row.
    None where the library has not the dtype.
    """
    x, *others = node.inputs
    if not has(name, x.dtype):
        return None
    groups = _groups(x.shape, set(axes))
    places = [i for i, (_, row) in enumerate(groups) if row]
    sizes = [size for size, _ in groups]
    n = prod(size for size, row in groups if row)
    outer = prod(size for size, row in groups if not row)
    if not places or not x.count or places == [len(groups) - 1]:
        return [
            _kernel(name, node.inputs, node.output, {"o": outer, "n": n}, attributes)
        ]
    inner = prod(sizes[places[-1] + 1 :])
    width = inner * x.bytes // x.count
    if len(places) == 1 and operator(name).columns and width >= REGISTER:
        given = {"o": prod(sizes[: places[0]]), "n": n, "k": inner}
        return [_kernel(name, node.inputs, node.output, given, attributes)]
    order = [i for i, (_, row) in enumerate(groups) if not row] + places
    apart = Value(f"{x.name}_apart", tuple(sizes), x.dtype)
    moved = Value(f"{x.name}_moved", tuple(sizes[i] for i in order), x.dtype)
    nodes = [Node(VIEW, [x], [apart]), permutation(apart, moved, tuple(order))]
    given = {"o": outer, "n": n}
    if not whole:
        made = _kernel(name, [moved, *others], node.output, given, attributes)
        return [*nodes, made]
    result = Value(f"{x.name}_rows", moved.shape, node.output.dtype)
    back = Value(f"{x.name}_back", apart.shape, node.output.dtype)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return [
        *nodes,
        _kernel(name, [moved, *others], result, given, attributes),
        permutation(result, back, inverse),
        Node(VIEW, [back], node.outputs),
    ]


def _groups(shape: Sequence[int], axes: set[int]) -> list[tuple[int, bool]]:
    """Sizes of neighbours that are all in rows, or all not; without sizes of 1."""
    groups: list[tuple[int, bool]] = []
    for i, size in enumerate(shape):
        if size == 1:
            continue
        if groups and groups[-1][1] == (i in axes):
            groups[-1] = (groups[-1][0] * size, i in axes)
        else:
            groups.append((size, i in axes))
    return groups


def _kernel(
    name: str,
    inputs: list[Value],
    output: Value,
    sizes: Mapping[str, float],
    attributes: Mapping[str, float],
) -> Node:
    known = {a.name: a for a in operator(name).attributes if a.slots}
    given = {n: v for n, v in attributes.items() if n in known}
    given = {n: a.default for n, a in known.items() if a.default is not None} | given
    instance = Instance.of(
        name, {**sizes, **given}, (inputs[0].dtype,), columns="k" in sizes
    )
    return Node(KERNEL, inputs, [output], {"kernel": instance})
