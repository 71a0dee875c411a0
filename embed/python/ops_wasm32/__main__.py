"""The command ops-wasm32: list, info, run and verify."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ops_wasm32.arguments import Parser, bound, natural, path
from ops_wasm32.command_info import show_info, show_list
from ops_wasm32.command_run import UserError, run
from ops_wasm32.command_verify import verify
from ops_wasm32.errors import ArgumentError, ModuleError, OpsError
from ops_wasm32.tables import SHORT_DTYPES

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


def _parser() -> argparse.ArgumentParser:
    about = "Machine-learning operators in WebAssembly."
    parser = Parser(prog="ops-wasm32", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="table of the operators of a module")
    info = commands.add_parser("info", help="what is in a .wasm file")
    info.add_argument("file", type=path, metavar="FILE.wasm")
    runs = commands.add_parser(
        "run",
        help="run one operator, or a model",
        usage="%(prog)s [options] [NET.wasm] [NAME=VALUE ...]",
        epilog=_RUN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for command in (listing, runs):
        command.add_argument(
            "-c",
            "--ms-backend-config",
            dest="module",
            type=path,
            metavar="FILE",
            help="the .wasm (default: the bundled one, best target the engine takes)",
        )
    _add_run_options(runs)
    _add_verify_options(commands.add_parser("verify", help="compare a model with ONNX"))
    return parser


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
        help="an input that `doit model --value` made a constant: one number, or one "
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code.

    1: a model is not as its original. 2: a message says what the user must change.
    """
    parser = _parser()
    # Attributes are what argparse leaves over: its own "*" cannot stand between
    # options.
    options, rest = parser.parse_known_args(arguments)
    for word in rest:
        if options.command != "run" or word.startswith("-"):
            parser.error(f"argument {word!r} is unknown")
    try:
        if options.command == "list":
            show_list(options.module)
        elif options.command == "info":
            show_info(options.file)
        elif options.command == "verify":
            return 0 if verify(options) else 1
        else:
            run(options, rest)
    except (UserError, ArgumentError, ModuleError, OpsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has seen enough
    return 0


if __name__ == "__main__":
    sys.exit(main())
