"""Collapses: shapes of an operator's outputs, as runtime_stub/collapse_*.c have them.

Each function is the twin of a C file's `shape`, for numbers and expressions alike.
What no call could pass raises SpecError; what is unknown, or depends on names, is None.
The runtime checks every call again: a shape found here holds where the node succeeds.
"""

from __future__ import annotations

from collections.abc import Callable

from toolchain.graph.broadcasting import broadcast
from toolchain.graph.calls import Call, Shape
from toolchain.graph.exact import exact
from toolchain.graph.sizes import Size, equal
from toolchain.graph.strided import view

MATRIX = 2  # axes of a matrix


def shapes_of(call: Call) -> list[Shape]:
    """Shapes of a node's outputs, as far as they are known."""
    if call.operator.shapes is not None:
        return list(call.operator.shapes(call))
    collapse = call.operator.collapse.partition(".")[0]
    return _COLLAPSES[collapse](call)


def _elementwise(call: Call) -> list[Shape]:
    given = range(len(call.node.inputs))
    return [
        broadcast(call.node.op, [call.shape(i) for i in given if not call.absent(i)])
    ]


def _rows(call: Call) -> list[Shape]:
    x = call.shape(0)
    if call.rule == "trailing" and x is not None:
        x = _with_rows(call, x)
    if call.rule in ("axis", "trailing"):
        if x is not None:
            call.axis(call.operator.attributes[0].name, len(x))
        return [x] * len(call.node.outputs)
    return [_reduced(call, x)] * len(call.node.outputs)


def _with_rows(call: Call, x: tuple[Size | None, ...]) -> Shape:
    """The shape of x, whose last axes are those of inputs 1, 2, ..."""
    axis = call.axis(call.operator.attributes[0].name, len(x))
    if axis is None:
        return x
    sizes = list(x)
    for i in range(1, len(call.node.inputs)):
        row = None if call.absent(i) else call.shape(i)
        if row is None:
            continue
        if len(row) != len(x) - axis:
            raise call.fail(
                f"{call.names[i]} has {len(row)} axes but must have {len(x) - axis}, "
                f"as the last axes of {call.names[0]}"
            )
        for at, size in enumerate(row, axis):
            where = f"axis {at - axis} of {call.names[i]} and axis {at} of x"
            sizes[at] = call.same((sizes[at], size), where)
    return tuple(sizes)


def _reduced(call: Call, x: Shape) -> Shape:
    """The shape of a reduction, without the axes or with size 1 there."""
    if x is None:
        return None
    keeps = 1 if call.rule == "spatial" else call.integer("keepdims")
    axes, count = _axes(call, len(x))
    if keeps is None:
        return None
    if axes is not None and not keeps:
        return tuple(s for i, s in enumerate(x) if i not in axes)
    if axes is not None:
        return tuple(1 if i in axes else s for i, s in enumerate(x))
    if keeps:
        return tuple(1 if s == 1 else None for s in x)
    return None if count is None else (None,) * (len(x) - count)


def _axes(call: Call, rank: int) -> tuple[set[int] | None, int | None]:
    """The axes that a reduction is along, and how many they are."""
    if call.rule == "spatial":
        if rank <= MATRIX:
            raise call.fail(f"x has rank {rank}; use at least 3, axes from 2 on go")
        return set(range(MATRIX, rank)), rank - MATRIX
    if call.rule == "reduce_axis":
        axis = call.axis("axis", rank)
        return (None if axis is None else {axis}), 1
    given = call.sizes("axes")
    if given:
        known = [a for a in given if isinstance(a, int)]
        axes = {call.axis_of("axes", a, rank) for a in known}
        if len(axes) < len(known):
            raise call.fail(f"axes {known} name an axis twice; name each once")
        return (axes if len(known) == len(given) else None), len(given)
    noop = call.integer("noop_with_empty_axes")
    if given is None or noop is None:
        return None, None
    return (set(), 0) if noop else (set(range(rank)), rank)


def _matmul(call: Call) -> list[Shape]:
    a, b = call.shape(0), call.shape(1)
    for name, shape in zip("ab", (a, b), strict=True):
        if shape == ():
            raise call.fail(f"{name} is a scalar; give it one axis or more")
    if call.rule == "packed":
        columns = call.number(call.operator.attributes[0].name)
        columns = None if isinstance(columns, float) else columns
        return [None if a is None else (*a[:-1], columns)]
    if a is None or b is None:
        return [None]
    inner = b[-MATRIX] if len(b) > 1 else b[0]
    call.same((a[-1], inner), "columns of a and rows of b")
    batch = broadcast(call.node.op, [a[:-MATRIX], b[:-MATRIX]])
    assert batch is not None
    return [(*batch, *a[-MATRIX:-1], *(b[-1:] if len(b) > 1 else ()))]


def _channels(call: Call) -> list[Shape]:
    x = call.shape(0)
    if x is None:
        return [None]
    given = [i for i in range(1, len(call.node.inputs)) if not call.absent(i)]
    shapes = [call.shape(i) for i in given]
    if call.rule == "second":
        if len(x) < MATRIX:
            raise call.fail(f"x has {len(x)} axes but its channels are axis 1")
        axis: int | None = 1
    elif not any(_several(s) for s in shapes):
        return [x]  # parameters of one element, which are for all of x, or may be
    else:
        axis = call.axis("axis", len(x))
    if axis is None:
        return [x]
    sizes = [s[0] for s in shapes if s is not None and len(s) == 1]
    channels = call.same((x[axis], *sizes), f"axis {axis} of x and its parameters")
    return [(*x[:axis], channels, *x[axis + 1 :])]


def _several(parameter: Shape) -> bool:
    """Whether a parameter has more elements than one, for sure."""
    return parameter is not None and any(
        equal(s, 1) is False for s in parameter if s is not None
    )


def _gather(call: Call) -> list[Shape]:
    data, indices = call.shape(0), call.shape(1)
    if data is None or indices is None:
        return [None]
    axis = call.axis("axis", len(data))
    if axis is None:
        return [(None,) * (len(data) - 1 + len(indices))]
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def _concat(call: Call) -> list[Shape]:
    shapes = [call.shape(i) for i in range(len(call.node.inputs))]
    known = [s for s in shapes if s is not None]
    if not known:
        return [None]
    rank = len(known[0])
    if any(len(s) != rank for s in known):
        ranks = ", ".join(str(len(s)) for s in known)
        raise call.fail(f"its inputs have {ranks} axes; give them equally many")
    axis = call.axis("axis", rank)
    if axis is None:
        return [(None,) * rank]
    out = [
        call.same((s[i] for s in known), f"sizes of axis {i} of the inputs")
        if i != axis
        else _sum([None if s is None else s[axis] for s in shapes])
        for i in range(rank)
    ]
    return [tuple(out)]


def _sum(sizes: list[Size | None]) -> Size | None:
    total: Size = 0
    for size in sizes:
        if size is None:
            return None
        total = total + size
    return total


def _pad(call: Call) -> list[Shape]:
    x = call.shape(0)
    pads = call.sizes(call.operator.attributes[2].name)
    if x is None:
        return [None if pads is None else (None,) * (len(pads) // 2)]
    if pads is None:
        return [(None,) * len(x)]
    if len(pads) != 2 * len(x):
        raise call.fail(
            f"pads has {len(pads)} entries but x has {len(x)} axes; give two for each"
        )
    ends = zip(x, pads[: len(x)], pads[len(x) :], strict=True)
    return [tuple(_sum(list(sizes)) for sizes in ends)]


def _own(call: Call) -> list[Shape]:
    return [None] * len(call.node.outputs)


_COLLAPSES: dict[str, Callable[[Call], list[Shape]]] = {
    "elementwise": _elementwise,
    "rows": _rows,
    "exact": exact,
    "matmul": _matmul,
    "channels": _channels,
    "view": view,
    "gather": _gather,
    "concat": _concat,
    "pad": _pad,
    "own": _own,
}
