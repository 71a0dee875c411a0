"""Sizes: shapes that have names in them, and whether given shapes fit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ops_wasm32.errors import ArgumentError
from ops_wasm32.tables import MAX_SIZE

# A number; a name of the model's sizes or an expression over them; "?" where nothing is
# known before the call.
Size = int | str
# None: not even the rank is known before the call.
Shape = tuple[Size, ...] | None
Bounds = Mapping[str, tuple[int, int]]  # least and greatest of each named size


def shape_text(shape: Shape) -> str:
    """A shape for messages: 1x3, scalar, [batch, 3], or "any shape"."""
    if shape is None:
        return "any shape"
    if all(isinstance(size, int) for size in shape):
        return "x".join(map(str, shape)) or "scalar"
    return f"[{', '.join(map(str, shape))}]"


def bounds_text(bounds: tuple[int, int]) -> str:
    """The bounds of a size for messages: 1 to 512, 1 or more."""
    low, high = bounds
    if high == MAX_SIZE:
        return f"{low} or more"
    return f"{low} to {high}" if low < high else str(low)


def known_shape(shape: Shape) -> tuple[int, ...] | None:
    """The shape, where all of it is numbers."""
    numbers = tuple(n for n in shape or () if isinstance(n, int))
    return numbers if shape is not None and len(numbers) == len(shape) else None


def fits(shape: Shape, found: tuple[int, ...]) -> bool:
    """Whether a shape has the rank and the numbers that are known of it."""
    return shape is None or (
        len(shape) == len(found)
        and all(isinstance(n, str) or n == m for n, m in zip(shape, found, strict=True))
    )


def bind_sizes(
    inputs: Iterable[tuple[str, Shape, tuple[int, ...]]], bounds: Bounds, what: str
) -> dict[str, int]:
    """Sizes by name, from the shapes of inputs: name, shape as said, shape as given.

    Errors: ArgumentError, with the input, the axis and the size.
    """
    found: dict[str, tuple[int, str]] = {}
    for name, wanted, given in inputs:
        if wanted is not None and len(wanted) != len(given):
            raise ArgumentError(
                f"{what}: input {name} has shape {given}; it takes {shape_text(wanted)}"
            )
        for axis, (size, n) in enumerate(zip(wanted or (), given, strict=False)):
            place = f"axis {axis} of input {name}"
            if problem := _problem(size, n, bounds, found):
                raise ArgumentError(
                    f"{what}: {place} has size {n}{problem}; {name} takes "
                    f"{shape_text(wanted)}"
                )
            if size in bounds:
                found.setdefault(str(size), (n, place))
    return {name: n for name, (n, _) in found.items()}


def _problem(
    size: Size, given: int, bounds: Bounds, found: Mapping[str, tuple[int, str]]
) -> str:
    """What speaks against a size, or ""."""
    if isinstance(size, int):
        return "" if size == given else f" instead of {size}"
    if size not in bounds:
        return ""  # what follows from names, the module checks
    low, high = bounds[size]
    if not low <= given <= high:
        return (
            f", but {size} is {bounds_text((low, high))}; give such a size or compile "
            "the model with other bounds (--dim)"
        )
    before, place = found.get(size, (given, ""))
    if before != given:
        return f", but {size} is {before} by {place}; give both the same size"
    return ""
