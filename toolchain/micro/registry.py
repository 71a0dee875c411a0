"""Registry: the micro-kernels by their names, and what emits each of them.

A family is a file of this folder. It declares the names that it knows, forms of
toolchain/spec/microkernels.py, with what emits them:

    @emits(TOUCH)
    def touch(module: ir.Module, name: str, target: Target) -> None: ...

An emitter gets the values of the name's fields after these three. A kernel's loop nest
calls micro-kernels by name; codegen links the ones that its IR names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from llvmlite import ir

from toolchain.spec import SpecError
from toolchain.spec.microkernels import Form, Value
from toolchain.targets import Target

Emitter = Callable[..., None]
_EMITTERS: dict[Form, Emitter] = {}
_NAME = re.compile(r"@(micro_\w+)")


def emits(form: Form) -> Callable[[Emitter], Emitter]:
    """Declare what emits the names of a form."""

    def declare(emitter: Emitter) -> Emitter:
        _EMITTERS[form] = emitter
        return emitter

    return declare


@cache
def emitters() -> dict[Form, Emitter]:
    """What every family declares."""
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__package__}.{path.stem}")
    return _EMITTERS


def used(text: str) -> list[str]:
    """Names of the micro-kernels that an IR text calls."""
    return sorted(set(_NAME.findall(text)))


def source(name: str) -> str:
    """What emits the micro-kernel of that name: "module:function". Errors: SpecError.

    A build's records name it, so that an edit of a family is none of others.
    """
    emitter, _ = _found(name)
    return f"{emitter.__module__}:{emitter.__qualname__}"


def micro_kernel(name: str, target: Target) -> str:
    """IR of the micro-kernel of that name. Errors: SpecError for an unknown one."""
    emitter, values = _found(name)
    module = ir.Module(name)
    emitter(module, name, target, *values)
    return str(module)


def _found(name: str) -> tuple[Emitter, tuple[Value, ...]]:
    for form, emitter in emitters().items():
        if (values := form.parse(name)) is not None:
            return emitter, values
    raise SpecError(f"micro-kernel {name!r} is unknown; use {_advice(name)}")


def _advice(name: str) -> str:
    """The forms of the families that a name's first word belongs to, or all words."""
    words: dict[str, set[str]] = {}
    for form, emitter in emitters().items():
        for text in form.texts:
            words.setdefault(text.split("_")[1], set()).add(emitter.__module__)
    families = words.get(name.split("_")[1])
    if families is None:
        return f"micro_<{'|'.join(sorted(words))}>_..."
    return " or ".join(
        f.shown for f, e in emitters().items() if e.__module__ in families
    )
