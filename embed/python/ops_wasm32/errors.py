"""Errors of the package; every text says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class ModuleError(ValueError):
    """A file that is no module of ours, or is damaged."""


class ArgumentError(TypeError, ValueError):
    """A call with an unknown name, a missing argument, or a wrong kind or dtype.

    Both a TypeError and a ValueError: callers catch either.
    """


class OpsError(Exception):
    """A call that the module refused. code: as in ops_wasm32.h; text: its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def unknown(what: str, name: str, names: Sequence[str], *more: Iterable[str]) -> str:
    """Say that there is no such name, and which is meant, or which there are.

    more: names that may be meant too, less likely.
    """
    import difflib  # few names are wrong

    for group in (names, *more):
        spelled = {other.lower(): other for other in group}
        if close := difflib.get_close_matches(name.lower(), spelled, 2):
            meant = " or ".join(spelled[word] for word in close)
            return f"{what} {name!r} is unknown; did you mean {meant}?"
    return f"{what} {name!r} is unknown; use {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Join names for a message."""
    return ", ".join(names) or "none"
