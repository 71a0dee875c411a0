"""Rules of operators that move elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from toolchain.abi import MAX_TENSORS
from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

MOST = MAX_TENSORS - 2  # parts that one call of split or concat takes


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
    given["axis"] = axis = c.get("axis", 0)
    if count > MOST:
        return _slices(c, sizes, axis, count)
    return c.builder.calls("split", c[0], dtypes=None, outputs=count, **given)


def _slices(c: Call, sizes: Any, axis: int, count: int) -> list[Value]:
    """Parts that are too many for one call."""
    if isinstance(sizes, Value):
        raise SpecError(f"has {count} parts, whose sizes must be constant then")
    ends = [c.constant([n], "int64") for n in np.cumsum(sizes or [])]
    if sizes is None:
        whole = c.call("add", size_at(c, c[0], axis), count - 1)
        part = c.call("div", whole, count)
        ends = [c.call("mul", part, i) for i in range(1, count + 1)]
    found = []
    for start, end in pairwise([c.constant([0], "int64"), *ends]):
        places = {"starts": plain_numbers(start), "ends": plain_numbers(end)}
        found.append(c.call("slice", c[0], axes=[axis], **places))
    return found


@rule("Concat")
def concat(c: Call) -> Value:
    """The tensors one after the other."""
    return after_each_other(c, c.given(), c.get("axis", 1))


def after_each_other(c: Call, values: Sequence[Value], axis: int) -> Value:
    """Tensors along an axis; in several calls where one takes fewer."""
    parts = [
        c.call("concat", *values[i : i + MOST], axis=axis)
        for i in range(0, len(values), MOST)
    ]
    return parts[0] if len(parts) == 1 else after_each_other(c, parts, axis)


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
