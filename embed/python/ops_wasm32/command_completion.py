"""The command completion: a script by which a shell completes ops-wasm32."""

from __future__ import annotations

from contextlib import suppress

from ops_wasm32 import command_compile
from ops_wasm32.command_run import UserError
from ops_wasm32.locate import load
from ops_wasm32.parser import parsers


def show_completion(shell: str) -> None:
    """Print the script: commands, options, files and the operators of run -o."""
    try:
        import shtab
    except ImportError:
        raise UserError(
            "completion needs shtab, which is not installed; run: "
            "pip install 'ops-wasm32[completion]'"
        ) from None
    parser, commands = parsers()
    with suppress(UserError):  # without the compiler its commands have no options
        command_compile.add_options(commands)
    for action in (a for c in commands.values() for a in c.actions()):
        if action.dest == "op_type":
            action.choices = sorted(load().operators())
        elif "." in str(action.metavar) or action.dest == "module":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's way
    print(shtab.complete(parser, shell))
