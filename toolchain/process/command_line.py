"""Command line: what doit makes of its words, and what it says of wrong ones.

doit makes a `Loader` before it reads any word; pyproject.toml names it.
"""

from __future__ import annotations

import fnmatch
import getopt
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from doit import doit_cmd
from doit.cmd_base import Command, DodoTaskLoader
from doit.cmdparse import CmdOption, CmdParse, CmdParseError
from doit.exceptions import InvalidCommand

# Options of tasks whose values are name=text.
OPTIONS = ("--at", "--dim", "--shape", "-s", "--value")
# Variables that dodo.py reads.
VARIABLES = ("profile",)
# Commands of doit for records of its own, of which there are none.
_OF_RECORDS = ("dumpdb", "forget", "ignore", "reset-dep")
_KINDS = {int: "whole number of 0 or more", float: "number"}


class Loader(DodoTaskLoader):  # type: ignore[misc]  # doit has no types
    """Reads dodo.py; refuses words that doit ignores, or answers with its own state.

    Errors: InvalidCommand, which doit shows without a traceback.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = sys.argv[1:]
        if "" in self.words:  # doit would take its first character
            sys.exit("ERROR: an argument is empty; give it a text, or leave it out")
        Command.parse_execute = _parse_execute

    def setup(self, opt_values: Mapping[str, Any]) -> None:
        """Set the variables, then read dodo.py, which asks for them."""
        doit_cmd._CMDLINE_VARS = variables(self.words)
        super().setup(opt_values)

    def load_tasks(self, cmd: Any, pos_args: list[str]) -> Any:
        """The tasks; words of theirs are checked, values that doit took put back."""
        pos_args[:] = with_values(pos_args, self.words, option_values(self.words))
        tasks = super().load_tasks(cmd, pos_args)
        named = {t.name: t for t in tasks}
        if cmd.name == "run":
            check_tasks(named, pos_args)
        else:
            known = {*named, *(self.cmd_names if cmd.name == "help" else ())}
            for word in pos_args:
                if cmd.name != "help" or word != "task":
                    _check_name(word, known)
        return tasks


_execute = Command.parse_execute


def _parse_execute(command: Any, words: Sequence[str]) -> Any:
    """What doit does with a command, after its options are checked."""
    if command.name in _OF_RECORDS:
        raise InvalidCommand(
            f"doit {command.name}: doit keeps no records here; `doit list --all "
            "--status` shows what a build would make again"
        )
    rest = check_options("doit", command.name, command.cmdparser, words)
    if command.name == "help" and len(rest) > 1:
        raise InvalidCommand(f"doit help: takes one name, not {len(rest)}")
    return _execute(command, words)


def require() -> None:
    """End doit where it read no pyproject.toml, and so made no `Loader`."""
    started = doit_cmd._CMDLINE_VARS is not None
    if started and Command.parse_execute != _parse_execute:
        sys.exit("ERROR: start doit in the folder of dodo.py and pyproject.toml")


def variables(words: Sequence[str]) -> dict[str, str]:
    """Variables by name, from words such as profile=my.toml."""
    found: dict[str, str] = {}
    values = option_values(words)
    for i, word in enumerate(words):
        name, equals, text = word.partition("=")
        if i in values or not equals or word.startswith("-"):
            continue
        if name not in VARIABLES:
            raise InvalidCommand(_unknown_variable(word, words[i - 1] if i else ""))
        if not text:
            raise InvalidCommand(f"{word} names nothing; give {name}=FILE.toml")
        if found.setdefault(name, text) != text:
            raise InvalidCommand(f"{name} is given twice: {found[name]} and {text}")
    return found


def _unknown_variable(word: str, before: str) -> str:
    name = word.partition("=")[0]
    text = f"variable {name!r} is unknown; {_nearest(name, VARIABLES)}"
    if before.startswith("-") and "=" not in before:
        text += f", or {before}={word} where it is the value of {before}"
    return text


def _close(word: str, names: Iterable[str]) -> list[str]:
    """The name that is most like a word, if one is."""
    import difflib  # every command of doit loads this file, few are wrong

    return difflib.get_close_matches(word, list(names), 1)


def _nearest(word: str, names: Iterable[str]) -> str:
    """What to write instead of a word: the name that is like it, or any."""
    names = sorted(names)
    close = _close(word, names)
    return f"did you mean {close[0]}?" if close else f"use {', '.join(names)}"


def check_tasks(tasks: Mapping[str, Any], words: Sequence[str]) -> None:
    """Refuse words of tasks and their options that doit refuses, or ignores."""
    known = {*tasks, *(t for task in tasks.values() for t in task.targets)}
    rest, seen, last = list(words), set(), None
    while rest:
        name = rest.pop(0)
        if last and "--file" in last and name not in known:
            raise InvalidCommand(f"{name!r} is no task; for a file write --file {name}")
        _check_name(name, known)
        if name in seen:
            raise InvalidCommand(f"task {name} is named twice; name it once")
        seen.add(name)
        if (task := tasks.get(name)) is None:
            continue
        parser = CmdParse([CmdOption(p) for p in (*task.params, *task.creator_params)])
        last = {f"--{o.long}" for o in parser.options}
        rest = check_options(name, name, parser, rest)
        if task.pos_arg is not None:
            return


def _check_name(name: str, known: Iterable[str]) -> None:
    """Refuse what no task, target or pattern of names is."""
    if name in known or ("*" in name and fnmatch.filter(known, name)):
        return
    tops = [k for k in known if ":" not in k and "/" not in k]
    nearest = _close(name, tops if ":" not in name else known)
    advice = f"did you mean {nearest[0]}? " if nearest else ""
    raise InvalidCommand(f"{name!r} is no task; {advice}`doit list` shows the tasks")


def check_options(
    what: str, topic: str, parser: CmdParse, words: Sequence[str]
) -> list[str]:
    """The words after the options that some words begin with.

    what: whose options; topic: what `doit help` calls it. Errors: InvalidCommand for an
    unknown option, one given twice, and a value that is missing or of a wrong type.
    """
    try:
        found, rest = getopt.getopt(list(words), parser.get_short(), parser.get_long())
    except getopt.GetoptError as error:
        raise InvalidCommand(_option_text(what, topic, parser, error)) from None
    given: dict[str, str] = {}
    for written, text in found:
        option, _ = parser.get_option(written)
        if option.type is not list and given.setdefault(option.name, text) != text:
            raise InvalidCommand(
                f"{what}: {written} is given twice: {given[option.name]} and {text}"
            )
        if option.type is not bool and not _fits(option, text):
            names = "none of " + ", ".join(option.choices)
            kind = names if option.choices else f"no {_KINDS[option.type]}"
            raise InvalidCommand(
                f"{what}: {written} {text!r} is {kind}; `doit help {topic}` says what "
                "it is"
            )
    return list(rest)


def _fits(option: CmdOption, text: str) -> bool:
    try:
        value = option.str2type(text)
    except CmdParseError:
        return False
    return option.type is not int or value >= 0


def _option_text(what: str, topic: str, parser: CmdParse, error: Any) -> str:
    """What is wrong with an option, and where all of them stand."""
    word, more = error.msg.split()[1], f"`doit help {topic}` lists the options"
    names = [o.long for o in parser.options if o.long]
    if "requires argument" in error.msg:
        return f"{what}: option {word} lacks its value; {more}"
    if "must not have" in error.msg:
        return f"{what}: option {word} takes no value; leave it out"
    if "unique prefix" in error.msg:
        fitting = ", ".join(f"--{n}" for n in names if n.startswith(error.opt))
        return f"{what}: option {word} may be {fitting}; write it out"
    if error.opt in VARIABLES:
        return f"{what}: option {word} is unknown; write {error.opt}=FILE.toml"
    if not names:
        return f"{what}: option {word} is unknown; it takes none"
    close = _close(error.opt, names)
    advice = f"did you mean --{close[0]}? {more}" if close else more
    return f"{what}: option {word} is unknown; {advice}"


def option_values(words: Sequence[str]) -> list[int]:
    """Places of words that are values of options.

    doit takes every word with "=" that starts with no dash for a variable, and out of
    the words that tasks get, before it reads any option: `--shape image=1,3` is to say
    what `--shape=image=1,3` says.
    """
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
