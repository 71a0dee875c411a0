"""Rewrite: changes of IR text that say how often they must happen.

LLVM's text is matched as TVM and llvmlite write it. Where a new version writes it
otherwise, a pattern that no longer matches would change kernels in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from toolchain.spec import SpecError

Replacement = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Times:
    """How often a pattern matches: from least to most, or more often (None)."""

    least: int
    most: int | None

    def __contains__(self, found: int) -> bool:
        return self.least <= found and (self.most is None or found <= self.most)

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more"
        return f"{self.least}" + (f" to {self.most}" if self.most > self.least else "")


SOME, OPTIONAL = Times(1, None), Times(0, 1)


def exactly(count: int) -> Times:
    """So often."""
    return Times(count, count)


def check(what: str, found: int, times: Times) -> None:
    """SpecError where something is not found as often as it must be."""
    if found not in times:
        raise SpecError(
            f"the IR has {what} {found} times, not {times}: another version of TVM or "
            "llvmlite writes it otherwise; use the versions of pyproject.toml"
        )


def rewrite(
    text: str, what: str, pattern: str, replacement: Replacement, times: Times
) -> str:
    """The text with each match replaced; `^` and `$` match at lines.

    what: the name of what matches. Errors: SpecError where that is not found as often
    as `times` says.
    """
    result, found = re.subn(pattern, replacement, text, flags=re.M)
    check(what, found, times)
    return result


def only(text: str, what: str, pattern: str) -> re.Match[str]:
    """The one match of a pattern. Errors: SpecError for none or several."""
    matches = list(re.finditer(pattern, text, re.M | re.S))
    check(what, len(matches), exactly(1))
    return matches[0]
