"""Cases of extremes that every operator has, from the description of its inputs.

The first input holds the ends of its dtype's range: for floats the lowest and highest,
infinities, NaN of both signs, denormals, zeros of both signs, and rows of nothing but
one of them, rows with a mask and rows whose span overflows. An operator whose partial
results may leave float32 where its result does not says so (`Operator.narrow`): its
finite extremes are smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from toolchain.spec import Case, Operator, tensor_dtype
from toolchain.spec.cases import Array, integer_special

LOWEST, HIGHEST = -np.finfo("f4").max, np.finfo("f4").max
NARROW = np.float32(2.0**60)  # its square is finite, and so is a sum of 100 of them
TINY = np.float32(1e-45)
# Quiet and signalling, of both signs, with bits of their own.
NANS = np.array([0x7FC00000, 0xFFC12345, 0x7F812345, 0xFFA00001], "u4").view("f4")
NAN = NANS[1]
ROWS = np.array(
    [
        [LOWEST] * 5,
        [HIGHEST] * 5,
        [-np.inf] * 5,
        [np.inf] * 5,
        [NAN] * 5,
        [-0.0] * 5,
        [1e-40] * 5,
        [2e38, -2e38, 0, 1, -1],
        [LOWEST, 1, 2, LOWEST, 3],
        [-np.inf, LOWEST, -np.inf, LOWEST, LOWEST],
        [HIGHEST, LOWEST, HIGHEST, LOWEST, LOWEST],
        [HIGHEST, HIGHEST, 0, 1, -0.0],
        [TINY, -TINY, 0, -0.0, 1e-38],
        [0, -0.0, 0, -0.0, -0.0],
        [1, NAN, LOWEST, HIGHEST, 0],
        [np.inf, LOWEST, HIGHEST, -np.inf, 0],
    ],
    "f4",
)
_ONCE = np.unique(np.concatenate([ROWS.ravel(), NANS]).view("u4")).view("f4")
# NaN and numbers also where an array ends, which scalar code does: of each with each,
# 9 elements and more are beyond 16.
_END = np.array([1, -1, 0, 2, NANS[0], NANS[1], 1], "f4")
VALUES = np.concatenate([_ONCE, _END])
assert VALUES.size % 8 == 3
LONG = 37  # elements of a row: steps of vectors and a rest
LARGE = 4096  # elements of an input that is filled, at most
APART = 5  # every so many elements of it is one of the extremes
RUN = 9  # as many equal ones: whole windows


def every_case(
    operator: Operator, dtypes: tuple[str, ...], rng: np.random.Generator
) -> Iterator[Case]:
    """The operator's own cases, and the cases of extremes."""
    own = []
    for case in operator.cases(dtypes, rng):
        own.append(case)
        yield case
    if not operator.inputs:
        return
    for name, inputs, given in _extremes(operator, dtypes, own):
        yield Case(f"extremes{name}", tuple(inputs), given)


def _extremes(
    operator: Operator, dtypes: tuple[str, ...], own: Sequence[Case]
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    kind, _, rule = operator.collapse.partition(".")
    if kind == "elementwise":
        yield "", _together(operator, dtypes), {}
    elif kind == "rows":
        yield from _rows(operator, dtypes, rule)
    else:
        yield from _filled(operator, dtypes, own)


def _within(operator: Operator, x: Array) -> Array:
    """Extremes, the finite ones no larger than the operator can take."""
    if not operator.narrow or x.dtype != np.float32:
        return x
    return np.where(np.isfinite(x), np.clip(x, -NARROW, NARROW), x)


def _values(operator: Operator, dtype: str) -> Array:
    return _within(
        operator,
        VALUES.astype(dtype) if dtype.startswith("float") else integer_special(dtype),
    )


def _together(operator: Operator, dtypes: tuple[str, ...]) -> list[Array]:
    """Each extreme of an input with each of the others."""
    count = len(operator.inputs)
    found = []
    for i, tensor in enumerate(operator.inputs):
        shape = [-1 if axis == i else 1 for axis in range(count)]
        found.append(_values(operator, tensor_dtype(tensor, dtypes)).reshape(shape))
    return found


def _rows(
    operator: Operator, dtypes: tuple[str, ...], rule: str
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Rows and, where the operator takes them, columns; short ones and longer ones."""
    if dtypes[0] == "float32":
        rows = _within(operator, ROWS)
    else:
        low, *_, high = integer_special(dtypes[0])
        rows = np.array([[low] * 5, [high] * 5, [low, high, low, high, high]])
    for n in (rows.shape[1], LONG):
        x = np.concatenate([rows] * (n // rows.shape[1] + 1), 1)[:, :n]
        others = [np.linspace(-2, 2, n, dtype="f4") for _ in operator.inputs[1:]]
        if rule == "spatial":
            yield f"-{n}", [x[None], *others], {}
            continue
        for axis in (-1, 0) if operator.columns else (-1,):
            turned = x.copy() if axis else x.T.copy()
            given = {"axes": (axis,)} if rule == "reduce_axes" else {"axis": axis}
            yield f"-{n}{'' if axis else '-columns'}", [turned, *others], given


def _filled(
    operator: Operator, dtypes: tuple[str, ...], own: Sequence[Case]
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """One of the operator's own cases, its first input with extremes in it."""

    def size(case: Case) -> int:
        count = int(np.size(case.inputs[0]))
        return count if count <= LARGE else -1

    case = max(own, key=size)
    edge = _values(operator, tensor_dtype(operator.inputs[0], dtypes))
    first, *others = case.inputs
    most = max(first.size // edge.size, 1)  # elements that each of them may have
    apart = first.copy()
    places = apart.flat[:: min(APART, most)]
    apart.flat[:: min(APART, most)] = np.resize(edge, places.size)
    runs = np.resize(np.repeat(edge, min(RUN, most)), first.shape)
    for name, x in (("", apart), ("-runs", runs)):
        yield name, [x, *others], dict(case.attributes)
