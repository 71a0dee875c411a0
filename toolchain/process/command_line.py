"""Command line: words of doit's that are values of options, not variables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from doit import doit_cmd
from doit.control import TaskControl

# Options of tasks whose values are name=text.
OPTIONS = ("--dim", "--shape", "-s", "--value")


def keep_values() -> None:
    """Let `--shape image=1,3` say what `--shape=image=1,3` says.

    doit takes every word with "=" that starts with no dash for a variable, and out of
    the words that tasks get, before it reads any option; here they are put back.
    """
    words = sys.argv[1:]
    values = _values(words)
    for i in values:
        name, _, text = words[i].partition("=")
        if doit_cmd.get_var(name) == text:
            doit_cmd._CMDLINE_VARS.pop(name)
    process = TaskControl.process

    def put_back(self: TaskControl, selection: list[str] | None) -> None:
        process(self, selection and with_values(selection, words, values))

    if values:
        TaskControl.process = put_back


def _values(words: Sequence[str]) -> list[int]:
    """Places of words that are values of options."""
    return [
        i
        for i, word in enumerate(words)
        if i and words[i - 1] in OPTIONS and "=" in word and word[:1] != "-"
    ]


def with_values(
    selection: Sequence[str], words: Sequence[str], values: Sequence[int]
) -> list[str]:
    """The words of tasks with those that doit took.

    selection: what doit left of the last ones of words.
    """
    found: list[str] = []
    left = list(selection)
    for i in reversed(range(len(words))):
        word = words[i]
        if i in values:
            found.append(word)
        elif left and word == left[-1]:
            found.append(left.pop())
        elif left and not ("=" in word and word[:1] != "-"):
            return list(selection)  # other words than the command line's
        if not left:
            break
    return found[::-1] if not left else list(selection)
