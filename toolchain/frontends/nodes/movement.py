"""Rules of operators that move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, numbers, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError


@rule("Concat")
def concat(c: Call) -> Value:
    """One after the other along an axis."""
    return c.call("concat", *c.given(), axis=c.get("axis", 1))


@rule("Transpose")
def transpose(c: Call) -> Value:
    """With the axes in another order."""
    perm = c.get("perm")
    return c.call("transpose", c[0], **({"perm": perm} if perm else {}))


@rule("Split")
def split(c: Call) -> Sequence[Value]:
    """Parts along an axis, of equal sizes where none are given."""
    sizes, count = c.setting(1, "split"), len(c.node.output)
    given: dict[str, Any] = {} if sizes is None else {"split": sizes}
    given["axis"] = c.get("axis", 0)
    return c.builder.calls("split", c[0], dtypes=None, outputs=count, **given)


@rule("Tile")
def tile(c: Call) -> Value:
    """Repeated along each axis."""
    if c.opset < 6:
        raise SpecError("is of opset 1, whose repeats are others; convert the model")
    repeats = c.setting(1)
    return c[0] if repeats == [] else c.call("tile", c[0], repeats=repeats)


@rule("Slice")
def cut(c: Call) -> Value:
    """Elements from starts to ends, by steps."""
    names = ("starts", "ends", "axes", "steps")
    given = {n: c.setting(i, n) for i, n in enumerate(names, 1)}
    given = {n: v for n, v in given.items() if v is not None}
    if given["starts"] == []:
        return c[0]
    return c.call("slice", c[0], **given)


@rule("Pad")
def pad(c: Call) -> Value:
    """Elements added around, or taken away."""
    mode = c.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise SpecError(f"has mode {mode!r}; use constant, reflect, edge or wrap")
    amounts, value = c.setting(1, "pads"), c.setting(2, "value", 0.0)
    if amounts is None:
        amounts = c.get("paddings")
    if c.opset < 11:
        value = c.get("value", 0.0)
    axes = c.setting(3)
    if axes is not None:
        amounts = _for_all(c, amounts, axes)
    if amounts == []:
        return c[0]
    given = {} if mode != "constant" else {"value": _first(value)}
    return c.call("pad", c[0], mode=mode, pads=amounts, **given)


def _first(value: Any) -> Any:
    """A number: itself, or the element of a vector."""
    return value[0] if isinstance(value, list) else value


def _for_all(c: Call, amounts: Any, axes: Any) -> Any:
    """Pads of all axes, from those of some: begins, then ends."""
    rank = rank_of(c[0])
    if isinstance(amounts, list) and isinstance(axes, list):
        whole = np.zeros((2, rank), "int64")
        whole[:, axes] = np.reshape(amounts, (2, len(axes)))
        return whole.reshape(-1).tolist()
    places = c.cast(c[3], "int64")
    below = c.call("less", places, 0)
    places = c.call("where", below, c.call("add", places, rank), places)
    all_axes = c.constant(np.arange(rank).reshape(rank, 1), "int64")
    hits = c.cast(c.call("equal", all_axes, places), "int64")
    pairs = c.builder.reshape(c[1], [2, 1, -1])
    whole_of = c.call("reduce_sum", c.call("mul", hits, pairs), axes=[2], keepdims=0)
    return c.builder.reshape(whole_of, [-1])


def scaled(c: Call, size: Value, by: int, down: bool = False) -> Value:
    """A size times or over a number."""
    return c.call("div" if down else "mul", size, by)


@rule("DepthToSpace")
def depth_to_space(c: Call) -> Value:
    """Channels become blocks of a plane."""
    x, size = c[0], c.get("blocksize")
    n, depth, height, width = (size_at(c, x, i) for i in range(4))
    rest = scaled(c, depth, size * size, down=True)
    column = c.get("mode", "DCR") == "CRD"
    inner = (rest, size, size) if column else (size, size, rest)
    parts = c.builder.reshape(x, joined(c, n, *inner, height, width), 1)
    order = [0, 1, 4, 2, 5, 3] if column else [0, 3, 4, 1, 5, 2]
    moved = c.call("transpose", parts, perm=order)
    plane = (scaled(c, height, size), scaled(c, width, size))
    return c.builder.reshape(moved, joined(c, n, rest, *plane), 1)


@rule("SpaceToDepth")
def space_to_depth(c: Call) -> Value:
    """Blocks of a plane become channels, before (DCR) or behind (CRD) the depth."""
    x, size = c[0], c.get("blocksize")
    n, depth, height, width = (size_at(c, x, i) for i in range(4))
    rows, columns = (scaled(c, v, size, down=True) for v in (height, width))
    blocks = joined(c, n, depth, rows, size, columns, size)
    parts = c.builder.reshape(x, blocks, 1)
    order = {"DCR": [0, 3, 5, 1, 2, 4], "CRD": [0, 1, 3, 5, 2, 4]}
    moved = c.call("transpose", parts, perm=order[c.get("mode", "DCR")])
    whole = joined(c, n, scaled(c, depth, size * size), rows, columns)
    return c.builder.reshape(moved, whole, 1)


@rule("Trilu", fallback=True)
def triangle(c: Call) -> Value:
    """The upper or lower triangle of matrices; 0 elsewhere."""
    x, k = c[0], c.optional(1)
    rows, columns = (
        numbers(c, plain_numbers(size_at(c, x, axis))) for axis in (-2, -1)
    )
    offset = c.call("sub", columns, c.builder.unsqueeze(rows, [1]))
    edge = c.constant(0, "int64") if k is None else c.builder.reshape(k, [])
    name = "greater_or_equal" if c.get("upper", 1) else "less_or_equal"
    return c.call("where", c.call(name, offset, edge), x, c.constant(0, x.dtype))


@rule("OneHot", fallback=True)
def one_hot(c: Call) -> Value:
    """values[1] where the place along the axis is the index, else values[0]."""
    places = c.cast(c[0], "int64")
    depth = c.builder.reshape(c.cast(c[1], "int64"), [1])
    low = c.call("less", places, 0)
    places = c.call("where", low, c.call("add", places, depth), places)
    axis = c.get("axis", -1)
    after = -axis - 1 if axis < 0 else rank_of(c[0]) - axis
    row = numbers(c, plain_numbers(depth))
    if after:
        row = c.builder.unsqueeze(row, [*range(1, after + 1)])
    hit = c.call("equal", c.builder.unsqueeze(places, [axis]), row)
    off, on = (c.call("gather", c[2], c.constant(i, "int64"), axis=0) for i in (0, 1))
    return c.call("where", hit, on, off)


@rule("ReverseSequence", fallback=True)
def reverse_sequence(c: Call) -> Value:
    """The first elements of each sequence turned round, as many as it has."""
    x, time, batch = c[0], c.get("time_axis", 0), c.get("batch_axis", 1)
    rank = rank_of(x)
    places = c.builder.unsqueeze(
        numbers(c, plain_numbers(size_at(c, x, time))), _others(rank, time)
    )
    lengths = c.builder.unsqueeze(c.cast(c[1], "int64"), _others(rank, batch))
    back = c.call("sub", c.call("sub", lengths, 1), places)
    taken = c.call("where", c.call("less", places, lengths), back, places)
    shape = plain_numbers(c.builder.shape_of(x))
    return c.call("gather_elements", x, c.call("expand", taken, shape=shape), axis=time)


def _others(rank: int, axis: int) -> list[int]:
    return [i for i in range(rank) if i != axis]


@rule("Scatter")
def scatter(c: Call) -> Value:
    """ScatterElements, as it was called."""
    return c.call("scatter_elements", c[0], c[1], c[2], axis=c.get("axis", 0))
