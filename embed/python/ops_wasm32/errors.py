"""Errors of the package; every text says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence


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


def listed(names: Sequence[str]) -> str:
    """Join names for a message."""
    return ", ".join(names) or "none"
