"""A number that was chosen by measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Number:
    """value: on every target that `targets` does not name. least, most: its range.

    multiple: what it must be a multiple of. power: whether it must be a power of two.
    """

    value: int
    least: int
    most: int
    meaning: str
    measured: str
    targets: Mapping[str, int] = field(default_factory=dict)
    multiple: int = 1
    power: bool = False

    def of(self, target: str) -> int:
        """Its value on a target."""
        return self.targets.get(target, self.value)

    def range(self) -> str:
        """What values it may have, for an error's text."""
        some = f"a multiple of {self.multiple} " if self.multiple > 1 else ""
        some = "a power of two " if self.power else some
        return f"{some}from {self.least} to {self.most}"

    def takes(self, value: object) -> bool:
        """Whether a value is in its range."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.least <= value <= self.most
            and value % self.multiple == 0
            and not (self.power and value & (value - 1))
        )
