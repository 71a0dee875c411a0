"""Arguments: how command lines are read, with errors of one line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and end with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


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
        raise argparse.ArgumentTypeError(f"{text!r} is no bound; give 0 or more")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
