"""The command ops-wasm32: modules listed, run and verified; models compiled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ops_wasm32 import command_compile
from ops_wasm32.command_completion import show_completion
from ops_wasm32.command_info import show_info, show_list
from ops_wasm32.command_run import UserError, run
from ops_wasm32.command_verify import verify
from ops_wasm32.errors import ArgumentError, ModuleError, OpsError, unknown
from ops_wasm32.parser import parsers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code.

    0: done. 1: a model is not as its original. 2: a message says what the user must
    change. 130: interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = parsers()
    try:
        if words and words[0] in command_compile.COMMANDS:
            command_compile.add_options(commands)
        # Attributes are what argparse leaves over: its own "*" cannot stand between
        # options.
        options, rest = parser.parse_known_args(words)
        for word in rest:
            if options.command != "run" or word.startswith("-"):
                command = commands[options.command]
                names = [n for n in command.options() if n.startswith("--")]
                command.error(unknown("argument", word.partition("=")[0], names))
        return _run(options, rest)
    except (UserError, ArgumentError, ModuleError, OpsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has seen enough
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    """Run what the options say; the exit code. rest: attributes of run."""
    if options.command == "list":
        show_list(options.module, options.json)
    elif options.command == "info":
        show_info(options.file, options.json)
    elif options.command == "verify":
        return 0 if verify(options) else 1
    elif options.command == "completion":
        show_completion(options.shell)
    elif options.command in command_compile.COMMANDS:
        command_compile.compile_or_build(options)
    else:
        run(options, rest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
