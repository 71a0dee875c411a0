"""Tuning: the numbers that were chosen by measuring, each with its range and reason.

A kernel asks its target by name, `k.target.tuning("gemm.kc")`. A profile may give other
values: `[tuning]` for all of its targets, `[tuning.simd128]` for one; what is then made
again are the objects that asked for the number. A number is here if another value gives
slower or larger code, and the same results but for the order of sums; what code relies
on, as on the lanes of a register, stands beside that code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from toolchain.tuning.number import Number
from toolchain.tuning.table import TABLE


class TuningError(ValueError):
    """A name that is no number's, or a value outside a number's range."""


def known(name: str) -> Number:
    """The number of a name. Errors: TuningError, with the names that there are."""
    if name not in TABLE:
        close = difflib.get_close_matches(name, TABLE, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise TuningError(f"{name} is unknown; {hint}use one of {', '.join(TABLE)}")
    return TABLE[name]


def check(name: str, value: object) -> int:
    """A value that may stand for a number's. Errors: TuningError."""
    number = known(name)
    if not number.takes(value):
        raise TuningError(
            f"{name} is {value!r}; give {number.range()} ({number.meaning})"
        )
    assert isinstance(value, int)
    return value


def ask(target: str, changed: Mapping[str, int], name: str) -> int:
    """The value of a number on a target, and a note that it was asked for."""
    number = known(name)
    for names in _NOTED:
        names.add(name)
    return changed.get(name, number.of(target))


_NOTED: list[set[str]] = []


@contextmanager
def noted() -> Iterator[set[str]]:
    """The names that are asked for within the block."""
    names: set[str] = set()
    _NOTED.append(names)
    try:
        yield names
    finally:
        _NOTED.pop()


def root(name: str) -> str:
    """What a record of an output has for a number that it was made with."""
    return f"tuning:{name}"


def roots(target: str, changed: Mapping[str, int]) -> dict[str, int]:
    """The value of every number on a target, by its root."""
    return {root(n): changed.get(n, number.of(target)) for n, number in TABLE.items()}
