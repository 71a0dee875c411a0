"""Arguments: how command lines are read, with errors of one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ops_wasm32.errors import unknown


class _Once(argparse.Action):
    """Keeps a value; argparse itself takes the last of several."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        seen = namespace.__dict__.setdefault("_seen", set())
        if option_string and self.dest in seen:
            parser.error(f"argument {option_string}: is given twice; give it once")
        seen.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser that refuses an option given twice, and whose errors are one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in (None, "store"):
            self.register("action", name, _Once)

    def actions(self) -> list[argparse.Action]:
        """What it reads: options and what stands without one."""
        return list(self._actions)

    def options(self) -> list[str]:
        """The options that it takes."""
        return [word for a in self._actions for word in a.option_strings]

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and end with 2."""
        # argparse lists the choices; where one is close, it is enough.
        match = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if match:
            message = unknown("the word", match[1], re.findall(r"[\w-]+", match[2]))
        end = ";" if message[-1] != "?" else ""
        self.exit(2, f"error: {message}{end} see {self.prog} --help\n")


def path(text: str) -> Path:
    """The path of a file. Errors: argparse's, where it is empty."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; give that of a file")
    return Path(text)


def natural(text: str) -> int:
    """A whole number of 0 or more. Errors: argparse's."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0; give 0 or more")
    return number


def bound(text: str) -> float:
    """A number of 0 or more. Errors: argparse's."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text} is no bound; give 0 or more")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
