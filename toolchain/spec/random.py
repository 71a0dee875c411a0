"""Random numbers: the generator of operators that draw them, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.spec import Attribute, Case

SHAPE = Attribute("shape", default=1, minimum=0, per_unit=1)
SEED = Attribute("seed", default=0, unbounded=True)
_SHAPES = ((), (0,), (1,), (17,), (3, 0, 2), (40, 33), (1, 2, 1, 2, 1, 2, 1, 2))


def bits(seed: int, count: int) -> NDArray[np.uint64]:
    """SplitMix64's numbers 0 to count - 1 of a seed, as random.h has them."""
    i = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed % 2**64) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def doubles(seed: int, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), of 53 bits."""
    return (bits(seed, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def cases(label: str, **given: float) -> Callable[..., Iterator[Case]]:
    """Shapes and seeds, as they are and with other attributes, which are so called."""

    def made(_dtypes: object, _rng: object) -> Iterator[Case]:
        for shape in _SHAPES:
            for seed in (0, 1, -5, 2**62):
                plain = {"shape": shape, "seed": seed}
                yield Case(f"{shape}-{seed}", (), plain)
                yield Case(f"{shape}-{seed}-{label}", (), plain | given)

    return made


def shapes(call: Any) -> list[Any]:
    """The shape of random numbers: their attribute."""
    sizes = call.sizes("shape")
    return [None if sizes is None else tuple(sizes)]
