"""Parser: the command line of ops-wasm32, its commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ops_wasm32.arguments import Parser, bound, natural, path
from ops_wasm32.tables import SHORT_DTYPES, VERSION

_ABOUT = "Machine-learning operators and models in WebAssembly."
_CODES = """\
exit codes:
  0    done
  1    verify: the model is not as its original
  2    a message says what to change
  130  interrupted
"""
_RUN_EXAMPLE = """\
examples:
  ops-wasm32 run -o Add -d FP32 -I '[1, 2]' -I '[3, 4]'
  ops-wasm32 run -o softmax -i x.npy axis=-1 --out y.npy
  ops-wasm32 run -c ops.wasm -o MatMul -d INT8 -i inputs.json
  ops-wasm32 run net.wasm -i inputs.npz -o outputs.npz

A file of inputs is .npy (one), .npz (several, in order) or JSON: nested lists
(one), or a list of {"input-data": [1, 2], "dim-size": 1, "shape": [2]}.
A model takes the arrays of a .npz by their names, or as arr_0, arr_1 in order.
"""
# Of each command what it does; the last two are the compiler's.
COMMANDS = {
    "list": "table of the operators of a module",
    "info": "what is in a .wasm file",
    "run": "run one operator, or a model",
    "verify": "compare a model with ONNX",
    "completion": "print what makes a shell complete this command",
    "compile": "compile a model, ONNX or MindIR (needs the extra compiler)",
    "build": "build a library of a profile's operators (needs the extra compiler)",
}
_RAW = argparse.RawDescriptionHelpFormatter


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the command, and those of its commands by name."""
    parser = Parser(
        prog="ops-wasm32", description=_ABOUT, epilog=_CODES, formatter_class=_RAW
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    found = {
        name: commands.add_parser(name, help=about, description=about, **_layout(name))
        for name, about in COMMANDS.items()
    }
    found["info"].add_argument("file", type=path, metavar="FILE.wasm")
    for name in ("list", "run"):
        found[name].add_argument(
            "-c",
            "--ms-backend-config",
            dest="module",
            type=path,
            metavar="FILE",
            help="the .wasm (default: the bundled one, best target the engine takes)",
        )
    _add_run_options(found["run"])
    _add_verify_options(found["verify"])
    for name in ("list", "info", "verify"):
        about = "print JSON, for programs"
        found[name].add_argument("--json", action="store_true", help=about)
    found["completion"].add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return parser, found


def _layout(name: str) -> dict[str, Any]:
    """How the help of a command is written, where argparse would not know."""
    if name != "run":
        return {}
    usage = "%(prog)s [options] [NET.wasm] [NAME=VALUE ...]"
    return {"usage": usage, "epilog": _RUN_EXAMPLE, "formatter_class": _RAW}


def _add_verify_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=path, metavar="NET.wasm")
    add("--against", type=path, required=True, metavar="NET.onnx", help="the original")
    add(
        *("-i", "--input-data-file"),
        dest="inputs",
        type=path,
        metavar="FILE.npz",
        help="inputs (default: random ones)",
    )
    add(
        "--value",
        dest="values",
        action="append",
        default=[],
        metavar="NAME=NUMBERS",
        help="an input that the compiler's --value made a constant: one number, or one "
        "for each element, as in axes=1,2; may be repeated",
    )
    add(
        "--dim",
        dest="dims",
        action="append",
        default=[],
        metavar="NAME=SIZE",
        help="an open size of random inputs, as in seq=7 (default: several small ones)",
    )
    add("--seed", type=natural, default=0, metavar="N", help="of random inputs (0)")
    add(
        "--max-int",
        type=natural,
        default=1,
        metavar="N",
        help="random integers of 32 and 64 bits are 0 to N (1: right for masks and "
        "small indices)",
    )
    add(
        "--bound",
        type=bound,
        metavar="X",
        help="relative error that passes (default: what the model's depth gives)",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        *("-o", "--op-type"),
        metavar="NAME",
        help="ONNX or MindSpore name; of a model: where its outputs go, as --out",
    )
    add(
        *("-d", "--data-type"),
        metavar="DTYPE",
        help=f"{', '.join(SHORT_DTYPES)}, or as numpy has it",
    )
    add(
        *("-I", "--input"),
        dest="inputs",
        action=_Source,
        metavar="JSON",
        help="an input; repeat it for several; null: absent",
    )
    add(
        *("-i", "--input-data-file"),
        dest="inputs",
        action=_Source,
        metavar="FILE",
        help="inputs from a file; may be repeated",
    )
    add("--out", type=path, metavar="FILE.npy", help="write here (.npz for several)")


class _Source(argparse.Action):
    """Keeps texts and files of inputs in the order in which they are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        is_file = self.option_strings[0] == "-i"
        known = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*known, (is_file, str(values))])
