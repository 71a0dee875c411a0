"""The commands compile and build: those of the compiler, where it is there.

It is the checkout around this package, or the package ops-wasm32-compiler, which the
extra `compiler` installs. Both are a folder with toolchain/ in it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ops_wasm32.arguments import Parser
from ops_wasm32.cache import VARIABLE, cache_folder
from ops_wasm32.command_run import UserError
from ops_wasm32.locate import checkout
from ops_wasm32.tables import VERSION

COMMANDS = ("compile", "build")
_PACKAGE = "ops_wasm32_compiler"
_INSTALL = "pip install 'ops-wasm32[compiler]'"


@cache
def compiler() -> Any:
    """The module of the compiler that has the commands. Errors: UserError."""
    folder = checkout() or _installed()
    given = cache_folder()
    if given is None:
        # What is compiled is kept for this run alone.
        scratch = tempfile.TemporaryDirectory(prefix="ops-wasm32-")
        given = Path(scratch.name)
        compiler.scratch = scratch  # type: ignore[attr-defined]  # removed at the end
    os.environ[VARIABLE] = str(given)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("toolchain.tasks.compiler")
    except ImportError as error:
        raise UserError(
            f"the compiler cannot be loaded ({error}); run: {_INSTALL}"
        ) from None


def _installed() -> Path:
    """Folder of the package of the compiler. Errors: UserError."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(f"this needs the compiler, which is not there; run: {_INSTALL}")
    found = importlib.import_module(_PACKAGE).__version__
    if found != VERSION:
        raise UserError(
            f"the compiler is version {found}, this package {VERSION}; run: {_INSTALL}"
        )
    return Path(spec.origin).parent


def add_options(parsers: dict[str, Parser]) -> None:
    """Let the parsers of COMMANDS read their options."""
    compiler().add_options(*(parsers[name] for name in COMMANDS))


def compile_or_build(options: argparse.Namespace) -> None:
    """Run the command. Errors: UserError."""
    if problem := compiler().run(options):
        raise UserError(problem)
