"""Small modules: operators compiled here, linked with the runtime as it is built."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from abi import runtime_objects

from toolchain.codegen.descriptor import table
from toolchain.codegen.llvm import emit
from toolchain.codegen.objects import compile_object
from toolchain.codegen.room import Room, room
from toolchain.link.archive import archive
from toolchain.link.clang import flags
from toolchain.link.link import link
from toolchain.process.command import run, tool
from toolchain.profile import ROOT
from toolchain.targets import TARGETS

MAX_MEMORY = 1 << 28
# Where an array is left, a shift is too long, a divisor 0 or a pointer null: a trap.
CHECKS = (
    "-fsanitize=bounds,shift,integer-divide-by-zero,null",
    "-fsanitize-trap=all",
)


def compile_checked(source: Path, target: str, out: Path, like: Path) -> None:
    """Compile C of the runtime as the file `like`, with checks that trap."""
    words = [*flags(like, TARGETS[target]), *CHECKS]
    run([*tool("CLANG"), *words, "-c", source, "-o", out])


def compile_runtime_checked(folder: Path, target: str) -> None:
    """The whole runtime likewise, where `runtime_objects` of that build has it."""
    (folder / target / "runtime").mkdir(parents=True)
    for source in sorted((ROOT / "runtime_stub").glob("*.c")):
        out = folder / target / "runtime" / f"{source.stem}.o"
        compile_checked(source, target, out, source)


@cache
def compiled(name: str, source: str, target: str) -> tuple[bytes, Any]:
    """Object and description of an operator of that source, compiled once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.py"
        file.write_text(source)
        return compile_object(file, target)


def link_operators(
    folder: Path, sources: Mapping[str, str], target: str = "mvp"
) -> Path:
    """A module of operators, by name the text of their files."""
    members, kernels, rooms = [], [], []
    for name, source in sources.items():
        data, description = compiled(name, source, target)
        members.append(folder / f"{name}.o")
        members[-1].write_bytes(data)
        kernels += description["kernels"]
        rooms.append(Room(**description["room"]))
    return link_texts(folder, [table(kernels), room(rooms)], members, target)


def link_built(
    folder: Path,
    names: list[str],
    kernels: Container[str] | None = None,
    target: str = "mvp",
    max_memory: int = MAX_MEMORY,
) -> Path:
    """A module of operators as they are built, or of some of their kernels."""
    objects = ROOT / "build" / target / "obj"
    found = [json.loads((objects / f"{name}.json").read_text()) for name in names]
    listed = [k for d in found for k in d["kernels"] if not kernels or k in kernels]
    texts = [table(listed), room([Room(**d["room"]) for d in found])]
    members = [objects / f"{name}.o" for name in names]
    return link_texts(folder, texts, members, target, max_memory)


def link_texts(
    folder: Path,
    texts: list[str],
    members: list[Path],
    target: str = "mvp",
    max_memory: int = MAX_MEMORY,
) -> Path:
    """A module of LLVM IR, a table and a room among it, and of objects."""
    rest = folder / "rest.o"
    rest.write_bytes(emit(texts, TARGETS[target]))
    archive([*members, rest, *runtime_objects(target)], folder / "small.a")
    link(folder / "small.a", folder / "small.wasm", max_memory, fast=True)
    return folder / "small.wasm"
