"""Sizes: numbers, or expressions over names that the model's inputs bind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Expression:
    """A size that follows from named sizes when the model runs."""

    text: str

    def __str__(self) -> str:
        return self.text


Size: TypeAlias = int | Expression


def named(name: str) -> Size:
    """A size that an input's shape binds."""
    return Expression(name)
