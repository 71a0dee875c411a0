"""Strided: shapes of what collapse_view.c gives, and of the graph's own reshapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolchain.dtypes import DTYPES
from toolchain.graph.broadcasting import broadcast
from toolchain.graph.calls import Call, Shape
from toolchain.graph.sizes import (
    LARGEST,
    Size,
    at_least,
    bounds,
    ceil_div,
    equal,
    floor_div,
    holds_at_least,
    maximum,
    minimum,
    product,
)
from toolchain.spec import SpecError

OWN_AXIS = LARGEST  # an entry of slice's axes that is left out


def view(call: Call) -> list[Shape]:
    """Shapes of the outputs of a node whose collapse is a view."""
    if call.rule == "split":
        return _split(call)
    return [_RULES[call.rule](call, call.shape(0))]


def _transpose(call: Call, x: Shape) -> Shape:
    perm = call.sizes("perm")
    rank = len(perm) if x is None and perm else None if x is None else len(x)
    if rank is None or x is None or perm is None:
        return None if rank is None else (None,) * rank
    if not perm:
        return x[::-1]
    if len(perm) != rank:
        raise call.fail(f"perm has {len(perm)} entries but x has {rank} axes")
    axes = [call.axis_of("perm", a, rank) for a in perm if isinstance(a, int)]
    if len(set(axes)) < len(axes):
        raise call.fail(f"perm {perm} has an axis twice; give each axis once")
    return tuple(x[a] for a in axes) if len(axes) == rank else (None,) * rank


def _slice(call: Call, x: Shape) -> Shape:
    if x is None:
        return None
    starts, ends, axes, steps = (
        call.sizes(name) for name in ("starts", "ends", "axes", "steps")
    )
    numbers = [a for a in axes or () if isinstance(a, int)]
    if axes is None or len(numbers) < len(axes):
        return (None,) * len(x)
    sizes, seen = list(x), set()
    for i, given in enumerate(numbers):
        axis = call.axis_of("axes", i if given == OWN_AXIS else given, len(x))
        if axis in seen:
            raise call.fail(f"axes {axes} have an axis twice; give each axis once")
        seen.add(axis)
        start, end, step = (None if v is None else v[i] for v in (starts, ends, steps))
        most = _greatest(call, x, axis)
        if isinstance(end, int) and end >= most:
            end = LARGEST
        sizes[axis] = slice_size(sizes[axis], start, end, step)
    return tuple(sizes)


def _greatest(call: Call, x: tuple[Size | None, ...], axis: int) -> int:
    """What an axis has at most: a tensor takes fewer than 2^31 bytes."""
    value = call.node.inputs[0]
    bytes_ = DTYPES[value.dtype].bits // 8 if value and value.dtype in DTYPES else 1
    for size in x[:axis] + x[axis + 1 :]:
        bytes_ *= 0 if size is None else bounds(size)[0]
    return LARGEST // bytes_ if bytes_ > 0 else LARGEST


def slice_size(
    size: Size | None, start: Size | None, end: Size | None, step: Size | None
) -> Size | None:
    """How many positions an axis has from start to end."""
    if size is None or start is None or end is None or not isinstance(step, int):
        return None
    if step == 0:
        raise SpecError("slice: a step is 0; use 1 or more, or -1 or less")
    back = 1 if step < 0 else 0
    first = _position(start, size, 0, size - back)
    last = _position(end, size, -back, size - back)
    length = maximum(0, first - last if back else last - first)
    return ceil_div(length, abs(step))


def _position(given: Size, size: Size, low: Size, high: Size) -> Size:
    """A position, from the end where it is negative, within low..high."""
    if isinstance(given, int) and abs(given) >= LARGEST:
        return high if given > 0 else minimum(low, high)
    # size - 1 is negative only where size is 0, and then it makes no difference.
    positive = 1 if given in (size, size - 1) else holds_at_least(given, 0)
    return minimum(maximum(given + size * (1 - positive), low), high)


def _expand(call: Call, x: Shape) -> Shape:
    wanted = call.sizes("shape")
    return broadcast(call.node.op, [x, None if wanted is None else tuple(wanted)])


def _tile(call: Call, x: Shape) -> Shape:
    repeats = call.sizes("repeats")
    if x is None or repeats is None:
        rank = repeats if x is None else x
        return None if rank is None else (None,) * len(rank)
    if len(repeats) != len(x):
        raise call.fail(f"repeats has {len(repeats)} entries but x has {len(x)} axes")
    pairs = zip(x, repeats, strict=True)
    return tuple(None if s is None or r is None else s * r for s, r in pairs)


def _split(call: Call) -> list[Shape]:
    x, parts = call.shape(0), len(call.node.outputs)
    if x is None:
        return [None] * parts
    axis, split = call.axis("axis", len(x)), call.sizes("split")
    if axis is None:
        return [(None,) * len(x)] * parts
    sizes = _part_sizes(call, x[axis], split, parts)
    return [(*x[:axis], size, *x[axis + 1 :]) for size in sizes]


def _part_sizes(
    call: Call, size: Size | None, split: list[Size | None] | None, parts: int
) -> Sequence[Size | None]:
    if split is None or None in split:
        return split or [None] * parts
    if -1 in split:
        if size is None:
            return [None] * parts
        chunk = ceil_div(size, parts)
        last = size - chunk * (parts - 1)
        if at_least(-1, last):
            raise call.fail(f"an axis of size {size} is too small for {parts} parts")
        return [chunk] * (parts - 1) + [last]
    total: Size = 0
    for part in split:
        assert part is not None
        total = total + part
    call.same((total, size), "the sum of split and the axis")
    return split


def _reshape(call: Call, x: Shape) -> Shape:
    shape, allowzero = call.sizes("shape"), call.integer("allowzero")
    return reshaped(call.node.op, x, shape, allowzero)


def reshaped(
    op: str, x: Shape, shape: Sequence[Size | None] | None, allowzero: int | None
) -> Shape:
    """The shape of a reshape; an entry that may be 0 is not taken for one."""
    if shape is None:
        return None
    out: list[Size | None] = list(shape)
    copied = []
    for i, size in enumerate(shape):
        if size == 0 and not allowzero:
            if x is not None and i >= len(x):
                raise SpecError(
                    f"{op}: shape[{i}] is 0, which copies a size of x, but that has "
                    f"{len(x)} axes; allowzero=1 makes it a size of 0"
                )
            out[i] = None if x is None or allowzero is None else x[i]
            copied.append(i)
    return _opened(op, x, out, copied)


def _opened(op: str, x: Shape, out: list[Size | None], copied: list[int]) -> Shape:
    """The shape with the one size that is -1 or unknown, as the elements have it."""
    places = [
        i for i, s in enumerate(out) if s == -1 or (s is None and i not in copied)
    ]
    if sum(s == -1 for s in out) > 1:
        raise SpecError(f"{op}: shape has -1 twice; give one of them")
    result = tuple(None if i in places else s for i, s in enumerate(out))
    if x is None:
        return result
    given = [s for i, s in enumerate(x) if i not in copied]
    taken = [s for i, s in enumerate(out) if i not in (*copied, *places)]
    if any(s is None for s in given) or len(places) > 1:
        return result
    elements = product([s for s in given if s is not None])
    known = product([s for s in taken if s is not None])
    if not places:
        _check_count(op, [x[i] for i in copied], elements, known)
        return result
    if known == 0:
        return _left_open(op, result, out[places[0]])
    if isinstance(elements, int) and isinstance(known, int) and elements % known:
        raise SpecError(
            f"{op}: the sizes beside -1 in shape make {known}, which must divide "
            f"{elements}, the other elements of x"
        )
    return tuple(
        floor_div(elements, known) if i in places else s for i, s in enumerate(result)
    )


def _check_count(
    op: str, copied: list[Size | None], elements: Size, known: Size
) -> None:
    """Raise where the counts differ, unless sizes that both have make them 0."""
    never_empty = all(s is not None and at_least(s, 1) for s in copied)
    if never_empty and equal(elements, known) is False:
        raise SpecError(
            f"{op}: shape has {known} elements but x has {elements}; make them equal"
        )


def _left_open(op: str, result: tuple[Size | None, ...], size: Size | None) -> Shape:
    if size is None:
        return result
    raise SpecError(
        f"{op}: shape is -1 beside a size of 0, which leaves it open; give it"
    )


_RULES: dict[str, Callable[[Call, Shape], Shape]] = {
    "transpose": _transpose,
    "slice": _slice,
    "expand": _expand,
    "tile": _tile,
    "reshape": _reshape,
}
