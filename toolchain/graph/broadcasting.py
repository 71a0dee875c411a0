"""Broadcasting of shapes, as numpy's, for numbers and expressions alike."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.graph.calls import Shape
from toolchain.graph.sizes import Size, equal
from toolchain.spec import SpecError


def broadcast(op: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that shapes broadcast to. Errors: SpecError where they do not."""
    known = [s for s in shapes if s is not None]
    if len(known) < len(shapes):
        return None
    rank = max(map(len, known), default=0)
    padded = [(1,) * (rank - len(s)) + s for s in known]
    return tuple(broadcast_size(op, sizes) for sizes in zip(*padded, strict=True))


def broadcast_size(op: str, sizes: Sequence[Size | None]) -> Size | None:
    """The size that is not 1, or 1; None where that depends on what is not known."""
    others = [s for s in sizes if s != 1]
    never_one = [s for s in others if s is not None and equal(s, 1) is False]
    numbers = {s for s in never_one if isinstance(s, int)}
    if len(numbers) > 1:
        a, b = sorted(numbers)[:2]
        raise SpecError(
            f"{op}: sizes {a} and {b} do not broadcast: make them equal or one of "
            "them 1"
        )
    if never_one:
        return numbers.pop() if numbers else never_one[0]
    if not others:
        return 1
    return others[0] if all(s == others[0] for s in others) else None
