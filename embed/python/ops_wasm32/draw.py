"""Draw: random inputs of a model, at sizes that its open shapes allow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ops_wasm32.convert import Array
from ops_wasm32.errors import ArgumentError, listed
from ops_wasm32.model import Model, Tensor
from ops_wasm32.sizes import bounds_text, shape_text

# Of each size that nobody gives: one element, different small sizes, and what halves
# five times, as the images of many networks must.
_ONE, _SMALL, _EVEN = 1, 3, 32


def sizes_of(words: Sequence[str], model: Model) -> dict[str, int]:
    """Sizes by name, from texts such as seq=7. Errors: ArgumentError."""
    found: dict[str, int] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if not name or not re.fullmatch(r"\d{1,10}", text, re.ASCII):
            raise ArgumentError(
                f"--dim {word!r} is no size; give NAME=SIZE, as in --dim seq=7"
            )
        if name not in model.sizes:
            raise ArgumentError(
                f"--dim {name}: the model has no such open size; it has "
                f"{listed([*model.sizes])}"
            )
        low, high = model.sizes[name]
        if not low <= int(text) <= high:
            raise ArgumentError(
                f"--dim {word}: {name} is {bounds_text((low, high))} in this module"
            )
        if found.setdefault(name, int(text)) != int(text):
            raise ArgumentError(f"--dim gives {name} twice; give it once")
    return found


def sizes_to_try(model: Model, given: Mapping[str, int]) -> list[dict[str, int]]:
    """Sizes for all names, several where some are not given."""
    tries: list[dict[str, int]] = []
    for least, step in ((_ONE, 0), (_SMALL, 1), (_EVEN, 0)):
        sizes: dict[str, int] = {}
        for i, (name, (low, high)) in enumerate(model.sizes.items()):
            sizes[name] = given.get(name, min(max(least + step * i, low), high))
        if sizes not in tries:
            tries.append(sizes)
    return tries


def random_inputs(
    model: Model, seed: int, max_int: int, sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """Normally distributed floats, integers of 0 to max_int; of 8 bits all of them.

    sizes: by the names that are in shapes. Errors: ArgumentError.
    """
    rng = np.random.default_rng(seed)

    def draw(tensor: Tensor) -> Array:
        shape = _shape(tensor, sizes or {})
        if tensor.dtype.startswith("float"):
            return rng.standard_normal(shape, np.float32).astype(tensor.dtype)
        if tensor.dtype in ("int8", "uint8"):
            ends = np.iinfo(tensor.dtype)
            return rng.integers(ends.min, ends.max, shape, tensor.dtype, endpoint=True)
        most = 1 if tensor.dtype == "bool" else max_int
        if tensor.dtype != "bool" and not 0 <= most <= np.iinfo(tensor.dtype).max:
            raise ArgumentError(
                f"--max-int {most}: input {tensor.name} is {tensor.dtype}; give 0 to "
                f"{np.iinfo(tensor.dtype).max}"
            )
        return rng.integers(0, most, shape, endpoint=True).astype(tensor.dtype)

    return [draw(t) for t in model.inputs]


def _shape(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of an input at those sizes. Errors: ArgumentError."""
    try:
        return tuple(
            n if isinstance(n, int) else sizes[n]
            for n in (tensor.shape if tensor.shape is not None else ("?",))
        )
    except KeyError:
        raise ArgumentError(
            f"input {tensor.name} takes {shape_text(tensor.shape)}, which leaves open "
            "what to draw; give inputs by -i FILE.npz"
        ) from None
