"""Cases and reference of windows that slide over planes: pooling and conv."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from toolchain.spec import Case
from toolchain.spec.cases import Array, Cases, special, values

Fold = Callable[[Array, tuple[int, int]], Any]


def _windows(
    size: int, taps: int, step: int, pads: list[int], gap: int, up: int
) -> int:
    room = size + sum(pads) - gap * (taps - 1) - 1
    count = (-(-room // step) if up else room // step) + 1
    return count - 1 if up and (count - 1) * step >= size + pads[0] else count


def _taps(size: int, taps: int, step: int, pads: list[int], gap: int, up: int) -> Any:
    """Positions of each window's taps inside the axis, and how many are inside pads."""
    for i in range(_windows(size, taps, step, pads, gap, up)):
        all_of_them = [i * step - pads[0] + t * gap for t in range(taps)]
        padded = [p for p in all_of_them if p < size + pads[1]]
        yield [p for p in padded if 0 <= p < size], len(padded)


def pooled(
    x: Array,
    fold: Fold,
    ceil_mode: int,
    kernel_shape: list[int],
    strides: list[int] | None = None,
    pads: list[int] | None = None,
    dilations: list[int] | None = None,
) -> Array:
    """Each window of x[N, C, ...] folded: fold(taps, (inside x, inside pads))."""
    rank = x.ndim - 2
    steps, gaps = strides or [1] * rank, dilations or [1] * rank
    around = pads or [0] * 2 * rank
    axes = [
        list(
            _taps(
                x.shape[2 + a],
                kernel_shape[a],
                steps[a],
                [around[a], around[a + rank]],
                gaps[a],
                ceil_mode,
            )
        )
        for a in range(rank)
    ]
    out = np.zeros((*x.shape[:2], *(len(a) for a in axes)), x.dtype)
    for place in itertools.product(*(range(len(a)) for a in axes)):
        chosen = [axes[a][p] for a, p in enumerate(place)]
        inside = int(np.prod([len(c[0]) for c in chosen]))
        counted = int(np.prod([c[1] for c in chosen]))
        for n, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
            taps = x[n, c][np.ix_(*(c[0] for c in chosen))]
            out[(n, c, *place)] = fold(taps, (inside, counted))
    return out


def _taken(x: Array, axis: int, positions: Array) -> Array:
    """Elements at positions along an axis; 0 outside."""
    inside = (positions >= 0) & (positions < x.shape[axis])
    shape = list(x.shape)
    shape[axis] = positions.size
    out = np.zeros(shape)
    index: list[slice | Array] = [slice(None)] * x.ndim
    index[axis] = np.flatnonzero(inside)
    out[tuple(index)] = x.take(positions[inside], axis)
    return out


def convolved(
    x: Array,
    w: Array,
    b: Array | None,
    group: int,
    strides: Sequence[int] = (),
    pads: Sequence[int] = (),
    dilations: Sequence[int] = (),
) -> Array:
    """Conv of x[N, C, ...] and w[M, D, ...], in float64."""
    spatial = x.ndim - 2
    strides, dilations = strides or [1] * spatial, dilations or [1] * spatial
    pads = pads or [0] * (2 * spatial)
    if spatial == 1:
        x, w = x[:, :, None], w[:, :, None]
        strides, dilations = [1, *strides], [1, *dilations]
        pads = [0, pads[0], 0, pads[1]]
    images, features = x.shape[0], w.shape[0]
    depth, taps = w.shape[1], w.shape[2:]
    starts = []
    for i in range(2):
        room = x.shape[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (taps[i] - 1)
        starts.append(np.arange((room - 1) // strides[i] + 1) * strides[i] - pads[i])
    sizes = [s.size for s in starts]
    out = np.zeros((images, group, features // group, *sizes))
    factors = w.reshape(group, features // group, depth, *taps)
    for r, s in np.ndindex(*taps):
        part = _taken(x, 2, starts[0] + r * dilations[0])
        part = _taken(part, 3, starts[1] + s * dilations[1])
        part = part.reshape(images, group, depth, *sizes)
        out += np.einsum("ngchw,gmc->ngmhw", part, factors[..., r, s])
    out = out.reshape(images, features, *sizes)
    if b is not None:
        out += b[:, None, None]
    return out[:, :, 0] if spatial == 1 else out


POOLS: tuple[tuple[str, tuple[int, ...], dict[str, Any]], ...] = (
    ("plain", (1, 2, 5, 7), {"kernel_shape": [2, 3]}),
    ("one", (2, 3, 4, 4), {"kernel_shape": [1, 1]}),
    ("whole", (1, 1, 3, 5), {"kernel_shape": [3, 5]}),
    ("strides", (1, 3, 9, 17), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    (
        "pads",
        (2, 1, 6, 5),
        {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 0, 2, 1]},
    ),
    (
        "ceil",
        (1, 2, 6, 7),
        {
            "kernel_shape": [3, 2],
            "strides": [2, 3],
            "pads": [1, 1, 1, 1],
            "ceil_mode": 1,
        },
    ),
    (
        "ceil_late",
        (1, 1, 5, 5),
        {"kernel_shape": [1, 1], "strides": [3, 3], "ceil_mode": 1},
    ),
    ("dilations", (1, 2, 9, 8), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    ("line", (2, 3, 31), {"kernel_shape": [5], "strides": [2], "pads": [2, 1]}),
    ("wide", (1, 1, 3, 67), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    (
        "wide_strides",
        (1, 2, 7, 75),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    ("steps", (1, 2, 7, 75), {"kernel_shape": [2, 3], "strides": [1, 3]}),
    ("empty", (0, 2, 4, 4), {"kernel_shape": [2, 2]}),
    # Those of runtime_stub/windows.c: down first, and along rows first.
    (
        "overlap_line",
        (1, 2, 150),
        {"kernel_shape": [310], "dilations": [2], "pads": [618, 617]},
    ),
    ("overlap_flat", (1, 1, 5, 90), {"kernel_shape": [17, 90], "pads": [16, 89] * 2}),
    (
        "overlap_tall",
        (1, 1, 3, 300),
        {"kernel_shape": [200, 299], "strides": [2, 2], "pads": [199, 0, 198, 1]},
    ),
)


# Rows, columns and pads of planes in windows of 3 x 3, 2 apart: registers of windows
# and what is left of them, with each edge inside and outside.
HALVED = (
    *((1, 16, (1, 1, 1, 1)), (2, 16, (1, 0, 0, 0)), (3, 17, (0, 0, 0, 0))),
    *((4, 15, (0, 1, 1, 1)), (5, 18, (1, 1, 0, 2)), (6, 19, (1, 1, 2, 1))),
    *((7, 20, (0, 0, 1, 2)), (8, 24, (1, 1, 1, 1)), (9, 25, (1, 0, 1, 1))),
    *((5, 41, (1, 1, 1, 1)), (6, 32, (2, 1, 1, 1)), (6, 32, (1, 2, 1, 1))),
)


def _halving(dtype: str, rng: np.random.Generator) -> Iterator[Case]:
    given = {"kernel_shape": [3, 3], "strides": [2, 2]}
    for up in (0, 1):
        for rows, columns, pads in HALVED:
            x = values(rng, (1, 2, rows, columns), dtype)
            name = f"halved-{rows}x{columns}-{''.join(map(str, pads))}-{up}"
            yield Case(name, (x,), {**given, "pads": pads, "ceil_mode": up})
    if dtype == "float32":
        for row, column in ((0, 0), (3, 7), (6, 8), (6, 18), (5, 17)):
            x = values(rng, (1, 2, 7, 19), dtype)
            x[0, 1, row, column] = np.nan
            yield Case(
                f"special-halved-{row}-{column}", (x,), {**given, "pads": (1,) * 4}
            )


def pooling(average: bool = False) -> Cases:
    """Windows of every kind, and special values."""

    def cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
        for name, shape, attributes in POOLS:
            yield Case(name, (values(rng, shape, dtypes[0]),), attributes)
            if average:
                more = {**attributes, "count_include_pad": 1}
                yield Case(f"{name}_padded", (values(rng, shape, dtypes[0]),), more)
        if not average:
            edge = special(dtypes[0])
            plane = np.resize(edge, (1, 1, 6, len(edge)))
            yield Case("special", (plane,), {"kernel_shape": [2, 2]})
            # Of fewer columns than a register, with windows that fill one.
            narrow = np.resize(edge, (1, 1, len(edge), 3))
            given = {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}
            yield Case("special_narrow", (narrow,), given)
            planes = values(rng, (1, 3, 6, 40), dtypes[0])
            planes[0, 1, 3, 1 : 1 + len(edge)] = edge
            for step in (1, 2, 3):
                given = {"kernel_shape": [3, 3], "strides": [step, step]}
                yield Case(f"special_stride_{step}", (planes,), given)
            outside = {
                "kernel_shape": [2, 2],
                "dilations": [3, 1],
                "pads": [2, 0, 3, 0],
            }
            yield Case("outside", (values(rng, (1, 2, 1, 6), dtypes[0]),), outside)
            yield from _halving(dtypes[0], rng)

    return cases
