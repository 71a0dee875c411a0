"""Cases that many operators share: sizes, broadcasts, special values.

Each function returns, or is, a `cases(dtypes, rng)` of an operator. Sizes include
0, 1, one less and more than a vector's lanes, and a prime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from toolchain.spec import Case

Rng = np.random.Generator
Cases = Callable[[tuple[str, ...], Rng], Iterator[Case]]
Array = np.ndarray[Any, np.dtype[Any]]

SIZES = (0, 1, 3, 4, 5, 15, 16, 17, 1031)
SHAPES: tuple[tuple[int, ...], ...] = (
    *((n,) for n in SIZES),
    (),
    (7, 13),
    (2, 0, 3),
    (2, 1, 3, 1, 2, 1, 2, 3),
)
BROADCASTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()),
    ((7, 13), ()),
    ((), (5,)),
    ((7, 13), (13,)),
    ((7, 1), (7, 13)),
    ((3, 1, 5), (1, 4, 1)),
    ((2, 1031), (1031,)),
    ((300, 3), (3,)),
    ((2, 3, 4, 5), (3, 1, 1)),
    ((2, 0, 3), (1, 3)),
    ((2, 1, 2, 1, 2, 1, 2, 1), (1, 3, 1, 3, 1, 3, 1, 3)),
)
SPECIAL = np.array(
    [
        *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, 1.5, 2.5, -2.5, 1e-3),
        *(np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, -1e-40, 1.1754944e-38),
        *(3.4028235e38, -3.4028235e38, 88.7, -103.9, -87.4, 1e10, -1e10, 16777217.0),
    ],
    np.float32,
)


def values(
    rng: Rng,
    shape: tuple[int, ...],
    dtype: str,
    low: float = -10,
    high: float = 10,
) -> Array:
    """Random elements: floats in [low, high), integers over their whole range."""
    if dtype.startswith("float"):
        return rng.uniform(low, high, shape).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def integer_special(dtype: str) -> Array:
    """The ends of an integer dtype's range and what lies about zero."""
    if dtype == "bool":
        return np.array([False, True])
    info = np.iinfo(dtype)
    near = [v for v in (-3, -2, -1, 0, 1, 2, 3, 7, 100) if info.min <= v <= info.max]
    return np.array([info.min, info.min + 1, *near, info.max - 1, info.max], dtype)


def special(dtype: str) -> Array:
    """Special values of a dtype."""
    return (
        SPECIAL.astype(dtype) if dtype.startswith("float") else integer_special(dtype)
    )


def shape_name(shape: tuple[int, ...]) -> str:
    """A shape as part of a case's name: 2x3; "scalar" for rank 0."""
    return "x".join(map(str, shape)) or "scalar"


def unary(
    low: float = -10, high: float = 10, attributes: Mapping[str, Any] | None = None
) -> Cases:
    """Every shape with values in [low, high), and the special values."""
    given = attributes or {}

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        for shape in SHAPES:
            x = values(rng, shape, dtypes[0], low, high)
            yield Case(shape_name(shape), (x,), given)
        yield Case("special", (special(dtypes[0]),), given)

    return cases


def bits(rng: Rng, count: int) -> Array:
    """float32 values with random bits: every exponent, denormals, a few NaN."""
    return rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32).view("f4")


# Where x/ln 2 added to 1.5 * 2^23 lacks bits of that, and what reduces x wraps round.
FAR = np.array(
    [
        sign * (centre + step)
        for centre in (2907228, 4360858, 6541391, 8722000)
        for step in (-200, -100, -1, 0, 3, 20, 49, 100)
        for sign in (-1, 1)
    ],
    "float32",
)
NEAR = 4.0  # within the limits of every function's short form


def unary_all(low: float = -10, high: float = 10) -> Cases:
    """As unary, and values of every magnitude (random bit patterns), and near 0."""

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        yield from unary(low, high)(dtypes, rng)
        if dtypes[0] == "float32":
            yield Case("bits", (bits(rng, 20011),))
            dense = values(rng, (20011,), "float32", low, high)
            yield Case("dense", (dense,))
            # Blocks whose elements are all in one narrow range.
            yield Case("sorted", (np.sort(dense),))
            near = values(rng, (20011,), "float32", max(low, -NEAR), min(high, NEAR))
            yield Case("near", (near,))
            # A single value in zeros, as another could send its block the long path.
            alone = np.zeros((FAR.size, 300), "float32")
            alone[:, 150] = FAR
            yield Case("alone", (alone.reshape(-1),))

    return cases


def binary(low: float = -10, high: float = 10) -> Cases:
    """Same shapes, broadcasts, and every pair of special values."""

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        dtype = dtypes[0]
        shapes = [((n,), (n,)) for n in SIZES]
        for a, b in (*shapes, *BROADCASTS):
            pair = (values(rng, a, dtype, low, high), values(rng, b, dtype, low, high))
            yield Case(f"{shape_name(a)}-{shape_name(b)}", pair)
        edge = special(dtype)
        yield Case("special", (edge[:, None].copy(), edge[None, :].copy()))

    return cases


# Rows: shapes with the axis or axes of their rows.
ROWS: tuple[tuple[tuple[int, ...], int], ...] = (
    *(((3, n), -1) for n in (0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 1031)),
    *(((n,), 0) for n in (1, 17, 4099)),
    *(((n, 5), 0) for n in (0, 1, 3, 17, 1031)),
    ((2, 17, 19), 1),
    ((2, 5, 1), -2),
    ((2, 5, 0), 1),
    ((0, 5), 1),
    ((4, 6, 33, 2), -3),
    ((2, 1, 3, 2, 2, 1, 2, 3), 3),
)
AXES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    *((shape, (axis,)) for shape, axis in ROWS),
    ((7, 13), ()),
    ((7, 13), (0, 1)),
    ((7, 13), (-1, 0)),
    ((3, 4, 17), (0, 2)),
    ((3, 4, 17), (1, 2)),
    ((3, 4, 17), (-2, -3)),
    ((2, 0, 3), (0, 2)),
    ((2, 0, 3), (1,)),
    ((2, 1, 3, 2, 2, 1, 2, 3), (0, 2, 5, 7)),
    ((2, 1, 3, 2, 2, 1, 2, 3), (7, 1, 3)),
    ((), ()),
)
# Rows that have, or become, NaN, infinity, zeros of both signs.
SPECIAL_ROWS = np.array(
    [
        [1, np.nan, 3, -np.inf, 5],
        [np.nan, np.inf, np.nan, 0, 1],
        [np.inf, 1, -1, 0, 2],
        [-np.inf, 1, -1, 0, 2],
        [-np.inf, -np.inf, -np.inf, -np.inf, -np.inf],
        [np.inf, -np.inf, 1, 2, 3],
        [1e-40, -1e-40, 1e-45, 0, 1e-38],
        [2, 2, 2, 2, 2],
    ],
    np.float32,
)


def rows_of(
    rng: Rng, dtype: str, low: float = -10, high: float = 10
) -> Iterator[tuple[str, Array, int]]:
    """(name, x, axis): every shape of ROWS, and rows of special values."""
    for shape, axis in ROWS:
        x = values(rng, shape, dtype, low, high)
        yield f"{shape_name(shape)}-axis{axis}", x, axis
    if dtype == "float32":
        yield "special", SPECIAL_ROWS, -1
        yield "special-columns", SPECIAL_ROWS.T.copy(), 0
        long = np.tile(SPECIAL_ROWS, (1, 9))  # longer than the lanes
        yield "special-long", long, -1
        signs = _signs(values(rng, (37,), dtype, 0.5, 1.5))
        yield "special-signs", signs, -1
        yield "special-signs-columns", signs.T.copy(), 0
        yield (
            "near",
            values(rng, (3, 1031), dtype, max(low, -NEAR), min(high, NEAR)),
            -1,
        )
    else:
        edge = integer_special(dtype)
        yield "special", np.stack([edge, edge[::-1]]), -1


def _signs(x: Array) -> Array:
    """Rows of one sign and of both, without NaN and with one of either sign."""
    mixed = np.where(np.arange(x.size) % 3, x, -x)
    rows = np.stack([x, -x, mixed] * 3)
    rows[3:6, 11], rows[6:, 36] = np.nan, -np.float32(np.nan)
    return rows


def reductions(low: float = -10, high: float = 10) -> Cases:
    """Axes of every kind, with and without keepdims; special values; no axes at all."""

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        for i, (shape, axes) in enumerate(AXES):
            x = values(rng, shape, dtypes[0], low, high)
            name = f"{shape_name(shape)}-axes{'_'.join(map(str, axes)) or 'all'}"
            given = {"axes": axes} if axes else {}
            yield Case(name, (x,), {"keepdims": i % 2, **given})
        for name, x, axis in rows_of(rng, dtypes[0], low, high):
            if name.startswith("special"):
                yield Case(name, (x,), {"axes": (axis,)})
        if dtypes[0] == "float32":
            # The last column past a strip of 1024, and the tile that ends with it.
            x = values(rng, (3, 1025), dtypes[0], low, high)
            x[1, 1012:1025:3] = np.nan
            yield Case("special-strips", (x,), {"axes": (0,)})
        x = values(rng, (3, 4), dtypes[0], low, high)
        yield Case("noop", (x,), {"noop_with_empty_axes": 1})

    return cases


def along_axes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Reference of a reduction: function(x, axis=a tuple, keepdims=a bool)."""

    def reference(
        x: Array, keepdims: int, noop_with_empty_axes: int, axes: tuple[int, ...] = ()
    ) -> Any:
        if not axes and noop_with_empty_axes:
            return x
        axis = tuple(axes) or tuple(range(x.ndim))
        return function(x, axis=axis, keepdims=bool(keepdims))

    return reference


def along_axis(
    low: float = -10, high: float = 10, attributes: Mapping[str, Any] | None = None
) -> Cases:
    """Rows along any axis, and rows of special values."""

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        for name, x, axis in rows_of(rng, dtypes[0], low, high):
            yield Case(name, (x,), {"axis": axis, **(attributes or {})})

    return cases


def running(low: float = -10, high: float = 10) -> Cases:
    """As along_axis, exclusive or not and in both directions."""

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        for case in along_axis(low, high)(dtypes, rng):
            for exclusive, reverse in ((0, 0), (1, 0), (0, 1), (1, 1)):
                given = {"exclusive": exclusive, "reverse": reverse}
                name = f"{case.name}-{exclusive}{reverse}"
                yield Case(name, case.inputs, {**case.attributes, **given})

    return cases


def turns(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """As unary_all, for circular functions: |x| < 2^17 and all, and near n pi/2."""
    yield from unary_all(-131072, 131072)(dtypes, rng)
    yield Case("small", (values(rng, (20011,), dtypes[0]),))
    quarters = (np.arange(-83443, 83444) * (np.pi / 2)).astype(np.float32)
    yield Case("quarters", (quarters,))
    # Blocks of small arguments with one that is not.
    beyond = values(rng, (8, 300), dtypes[0])
    beyond[:, 150] = np.ldexp(beyond[:, 150], 12 * np.arange(1, 9))
    yield Case("beyond", (beyond.reshape(-1),))


def trailing(parameters: int) -> Cases:
    """Rows of the last axes, with `parameters` more inputs of a row's shape.

    The last of two or more parameters is also left out.
    """

    def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        dtype = dtypes[0]
        shapes = [((3, n), -1) for n in (0, 1, 3, 4, 5, 15, 16, 17, 33, 1031)]
        more = [((17,), 0), ((4, 3, 5), 1), ((4, 3, 5), -3), ((0, 4), 1)]
        for shape, axis in [*shapes, *more, ((2, 1, 3, 2, 2, 1, 2, 3), 4)]:
            x = values(rng, shape, dtype, -3, 7)
            row = shape[axis % len(shape) :]
            given = [values(rng, row, dtype, -2, 2) for _ in range(parameters)]
            name = f"{shape_name(shape)}-axis{axis}"
            yield Case(name, (x, *given), {"axis": axis})
        if parameters > 1:
            yield Case("absent", (x, *given[:-1], None), {"axis": axis})
        yield Case("epsilon", (x, *given), {"axis": axis, "epsilon": 0.5})
        ones = [np.ones(5, np.float32)] * parameters
        yield Case("special", (SPECIAL_ROWS, *ones))

    return cases


def arg_rows(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Rows with many equal elements, first and last of them, keepdims both ways."""
    for i, (name, x, axis) in enumerate(rows_of(rng, dtypes[0])):
        if not x.shape[axis]:
            continue  # an error
        if not name.startswith("special"):
            x = values(rng, x.shape, dtypes[0], 0, 9) % np.array(7, x.dtype) // 1
        given = {"axis": axis, "keepdims": i % 2}
        yield Case(name, (x,), given)
        yield Case(f"{name}-last", (x,), {**given, "select_last_index": 1})
    # Rows that a kernel which takes several at once would look for before memory.
    x = values(rng, (2, 30000), dtypes[0], 0, 9)
    yield Case("2x30000-last", (x,), {"axis": 0, "select_last_index": 1})


def first_or_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """Reference of arg_max or arg_min, from numpy's, which takes the first."""

    def reference(x: Array, axis: int, keepdims: int, select_last_index: int) -> Any:
        if not select_last_index:
            return function(x, axis=axis, keepdims=bool(keepdims))
        found = function(np.flip(x, axis), axis=axis, keepdims=bool(keepdims))
        return x.shape[axis] - 1 - found

    return reference
