"""The library: objects, runtime, archive and module for each target of a profile."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.link.artifacts import (
    ARCHIVE,
    CHECKED_HEADERS,
    HEADERS,
    MANIFEST,
    MODULE,
    TABLES,
)
from toolchain.link.clang import sources
from toolchain.process.command import replacement, tool_versions
from toolchain.profile import ROOT, Profile
from toolchain.records.lock import Lock
from toolchain.records.places import BUILT
from toolchain.records.replace import fresh, scratch, write
from toolchain.records.slices import root_in
from toolchain.targets import DEFAULT, TARGETS
from toolchain.tasks.making import FailedError, Task, command, made, option

if TYPE_CHECKING:
    from toolchain.link.description import Description
    from toolchain.records.made import Made

RUNTIME = sorted((ROOT / "runtime_stub").glob("*.c"))


@cache
def settings(target: str | None, *tools: str, models: bool = False) -> Any:
    """What decides an output beside its sources: target, tools, their replacements.

    tools: variables that replace one. models: whether ONNX files are read or written.
    """
    return [
        dataclasses.asdict(TARGETS[target]) if target else None,
        tool_versions(models),
        {variable: replacement(variable) for variable in tools},
    ]


# What waits for a task, doit starts in any order: objects start in theirs where these
# are seen to be current before them.
TABLES_FIRST = ("tables:write", "tables:check")


def tables_tasks(profile: Profile) -> Iterator[Task]:
    """The copies that C, JavaScript and the host package have of tables, checked."""
    out = profile.folder / "tables"
    yield made(
        *(write_tables, out / "written.txt"),
        outputs=(out / "written.txt", *(ROOT / name for name in TABLES)),
        files=(ROOT / "pyproject.toml",),
        settings=[settings(target) for target in TARGETS],
        code=("toolchain.tables:write_tables",),
        name="write",
    )
    yield made(
        *(check_headers, out / "assertions.o"),
        outputs=(out / "assertions.o",),
        files=(ROOT / "runtime_stub" / name for name in CHECKED_HEADERS),
        settings=settings(DEFAULT, "CLANG"),
        code=("toolchain.tables:check_headers",),
        name="check",
        after=["tables:write"],
    )


def write_tables(out: Path) -> None:
    """Write the copies of tables where they differ."""
    from toolchain.tables import write_tables

    write_tables(out)


def check_headers(out: Path) -> None:
    """Hold C's headers against the toolchain's numbers and structs."""
    from toolchain.tables import check_headers

    check_headers(out)


def compile_tasks(profile: Profile) -> Iterator[Task]:
    """An object and its description for each operator and target."""
    for target, folder in profile.folders.items():
        for name, path in profile.operators.items():
            out, dtypes = folder / "obj" / name, profile.dtypes[name]
            formula = root_in(path, "KERNEL"), root_in(path, "__doc__")
            yield made(
                *(compile_operator, path, target, dtypes, out, profile.compile_timeout),
                profile.tuning[target],
                outputs=(out.with_suffix(".o"), out.with_suffix(".json")),
                files=sources(path.with_suffix(".c")),
                settings=[settings(target, "CLANG"), dtypes],
                code=("toolchain.codegen.objects:compile_object", *formula),
                named=profile.numbers[target],
                name=f"{target}:{name}",
                after=["tables:check"],
            )


def current_objects(profile: Profile, target: str) -> dict[str, Made]:
    """Objects of operators that are built, and what they would be if built now."""
    found = {}
    for task in compile_tasks(dataclasses.replace(profile, targets=(target,))):
        (made_now,) = task["uptodate"]
        if made_now.current():
            found[task["name"].partition(":")[2]] = made_now
    return found


def take_ready(profile: Profile) -> None:
    """Copy objects that a profile's build would make as the full library has them."""
    for task in (*compile_tasks(profile), *runtime_tasks(profile)):
        (wanted,) = task["uptodate"]
        theirs = (BUILT / p.relative_to(profile.folder) for p in wanted.outputs)
        ready = dataclasses.replace(wanted, outputs=tuple(theirs))
        if not wanted.current() and ready.current():
            pairs = zip(ready.outputs, wanted.outputs, strict=True)
            for old, new in (*pairs, (ready.record, wanted.record)):
                write(new, old.read_bytes())


def compile_operator(
    path: Path,
    target: str,
    dtypes: tuple[str, ...] | None,
    out: Path,
    timeout: float,
    numbers: Mapping[str, int],
) -> Iterable[str]:
    """Compile one operator; roots of what it names at run time.

    A mistake in its file is reported and kept for `check_operators`.
    """
    from toolchain.codegen.child import compile_in_child

    reason = compile_in_child(path, target, dtypes, out, timeout, numbers)
    if reason is not None:
        print(f"FAILED {target}: {reason}")
        return []
    return descriptions(out.parent, [out.name])[out.name]["code"]


def descriptions(folder: Path, names: Iterable[str]) -> dict[str, Description]:
    """Description of each compiled operator by name ({"error": ...}: it failed)."""
    return {n: json.loads((folder / f"{n}.json").read_text()) for n in names}


def runtime_tasks(profile: Profile) -> Iterator[Task]:
    """An object for each file of the runtime and target."""
    for target, folder in profile.folders.items():
        for source, out in zip(RUNTIME, runtime_objects(folder), strict=True):
            yield made(
                *(compile_runtime, source, target, out),
                outputs=(out,),
                files=(source,),
                settings=settings(target, "CLANG"),
                name=f"{target}:{source.stem}",
                after=["tables:check"],
            )


@cache
def runtime_objects(folder: Path) -> tuple[Path, ...]:
    """The runtime's objects in a target's folder."""
    objects = folder / "runtime"
    return tuple(objects / f"{source.stem}.o" for source in RUNTIME)


def runtime_names(target: str) -> list[str]:
    """Tasks of the runtime, by name: doit compares a wildcard with every task."""
    return [f"runtime:{target}:{source.stem}" for source in RUNTIME]


def compile_runtime(source: Path, target: str, out: Path) -> None:
    """Compile one C file of the runtime."""
    from toolchain.link.clang import compile_c

    with fresh(out) as new:
        compile_c(source, TARGETS[target], new)


def archive_tasks(profile: Profile) -> Iterator[Task]:
    """The archive for each target."""
    names = list(profile.operators)
    for target, folder in profile.folders.items():
        objects = [folder / "obj" / f"{n}{s}" for n in names for s in (".o", ".json")]
        yield made(
            *(make_archive, folder, names, runtime_objects(folder)),
            outputs=(folder / ARCHIVE,),
            files=(*objects, *runtime_objects(folder)),
            settings=settings(target, "LLVM_AR"),
            name=target,
            after=(
                *(*TABLES_FIRST, *(f"compile:{target}:{n}" for n in names)),
                *runtime_names(target),
            ),
        )


def make_archive(folder: Path, names: list[str], runtime: tuple[Path, ...]) -> None:
    """Emit the operator table and archive it with objects and runtime."""
    from toolchain.codegen.descriptor import table
    from toolchain.codegen.llvm import emit
    from toolchain.codegen.room import Room, room
    from toolchain.link.archive import archive

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    kernels = [k for d in good.values() for k in d["kernels"]]
    members = [folder / "obj" / f"{n}.o" for n in good]
    # Apart: a program that names its operators links the room and not the table.
    rooms = [Room(**d["room"]) for d in good.values()]
    with scratch(folder) as own:
        for name, text in (("table", table(kernels)), ("room", room(rooms))):
            members.append(own / f"ops_{name}.o")
            members[-1].write_bytes(emit([text], TARGETS[folder.name]))
        archive([*members, *runtime], folder / ARCHIVE)


def module_tasks(profile: Profile) -> Iterator[Task]:
    """The module for each target, with manifest and headers."""
    names = list(profile.operators)
    for target, folder in profile.folders.items():
        yield made(
            *(make_module, folder, names, profile.max_memory),
            outputs=(folder / name for name in (MODULE, MANIFEST, *HEADERS)),
            files=(
                folder / ARCHIVE,
                *(folder / "obj" / f"{n}.json" for n in names),
                ROOT / "runtime_stub" / "ops_wasm32.h",
                ROOT / "runtime_stub" / "interface.txt",
                ROOT / "embed" / "c" / "ops_wasm32.hpp",
            ),
            settings=[settings(target, "WASM_LD"), profile.max_memory],
            name=target,
            after=[f"archive:{target}"],
        )


def make_module(folder: Path, names: list[str], max_memory: int) -> None:
    """Link the standalone module, check it, write its manifest and headers."""
    from toolchain.link.header import write_headers
    from toolchain.link.link import link
    from toolchain.link.manifest import check_interface, write_manifest
    from toolchain.link.module import validate

    found = descriptions(folder / "obj", names)
    good = {n: d for n, d in found.items() if "error" not in d}
    with fresh(folder / MODULE) as wasm:
        # A library of one operator is to be small.
        link(folder / ARCHIVE, wasm, max_memory, fast=len(good) > 1)
        check_interface(wasm.read_bytes(), folder.name)
        write_headers(good, folder / "include")
        write_manifest(folder, wasm, good, max_memory)
        validate(wasm.read_bytes(), str(folder / MODULE))


def build_task(profile: Profile, after: Iterable[str], full: Iterable[str]) -> Task:
    """The task that ends a build: it says which operators failed.

    full: tasks that come before too, where no file says what the library holds.
    """
    before = [*TABLES_FIRST, *after, *([] if profile.file else full)]
    workers = option(
        "workers", 0, "how many tasks run at a time (default: one per core)"
    )
    return {
        **command(check_operators, profile, after=before),
        # -n alone: `workers` reads it before doit does.
        "params": [workers | {"short": "n", "long": ""}],
        "clean": [(clean, (profile.folder,))],
    }


def check_operators(profile: Profile, workers: int) -> None:
    """Fail where an operator could not be compiled, with every reason."""
    del workers  # it was for the tasks before this one
    from toolchain.link.manifest import clashing_names

    reasons = set()
    for folder in profile.folders.values():
        found = descriptions(folder / "obj", profile.operators)
        good = {n: d for n, d in found.items() if "error" not in d}
        reasons |= {d["error"] for d in found.values() if "error" in d}
        reasons |= set(clashing_names(good))
    if reasons:
        raise FailedError(
            f"{len(reasons)} operator(s) failed; the library holds the others:\n"
            + "\n".join(sorted(reasons))
        )


def clean(folder: Path) -> None:
    """Remove a build folder, when nobody builds in it."""
    lock = Lock(folder)
    lock.take(print)
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
