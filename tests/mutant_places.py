"""Mutants of C: where a constant or comparison is changed, and which change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EQUIVALENT = Path(__file__).with_name("mutants.txt")
SWAPS = {
    **{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    **{"&&": "||", "||": "&&"},
}
# Comments, strings, characters, lines of the preprocessor: nothing in them is changed.
_QUIET = re.compile(
    r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*"
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\])*'",
    re.S | re.M,
)
# An operator, or a number that is no part of a name.
_TOKEN = re.compile(
    r"->|<<|>>|[<>=!]=|&&|\|\||[<>]|(?<![\w.])(0[xX][0-9a-fA-F]+|\d+)(?=[uUlL]*\b)(?!\.)"
)


@dataclass(frozen=True)
class Mutant:
    """A place in a file of the runtime and what comes there."""

    file: str
    line: int
    at: int = field(repr=False)  # offset in the file
    before: str
    after: str
    text: str  # the line
    turn: int  # how often `before` stands in it up to here

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key[1]}"

    @property
    def key(self) -> tuple[str, str]:
        """What names it in mutants.txt, without the number of its line."""
        which = f"{self.before} (#{self.turn})" if self.turn > 1 else self.before
        return self.file, f"{which} -> {self.after} in `{self.text}`"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a C file, in order."""
    source = path.read_text()
    plain = _QUIET.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)
    for match in _TOKEN.finditer(plain):
        token = match[0]
        if match[1]:
            number = int(token, 0)
            after = [str(number + 1), *([str(number - 1)] if number else [])]
        else:
            after = [SWAPS[token]] if token in SWAPS else []
        start = source.rfind("\n", 0, match.start()) + 1
        line = source[start:].partition("\n")[0].strip()
        at, row = match.start(), source.count("\n", 0, start) + 1
        turn = [m[0] for m in _TOKEN.finditer(plain, start, match.end())].count(token)
        for new in after:
            yield Mutant(path.name, row, at, token, new, line, turn)


def read_equivalent(path: Path) -> dict[tuple[str, str], str]:
    """The mutants that change no result, with the reason for each.

    A reason is a paragraph of text; the mutants that it is for follow, a line each:
    "  file.c: < -> <= in `the line`".
    """
    found: dict[tuple[str, str], str] = {}
    reason: list[str] = []
    listing = False
    for line in path.read_text().splitlines():
        if line.startswith("  "):
            file, _, rest = line.strip().partition(": ")
            found[file, rest] = " ".join(reason)
            listing = True
            continue
        if listing:
            reason, listing = [], False
        reason += [line.strip()] if line.strip() else []
    return found
