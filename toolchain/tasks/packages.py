"""Packages: what goes into dist/."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolchain.link.artifacts import ARTIFACTS
from toolchain.link.package import (
    SOURCES,
    compiler_sources,
    npm_path,
    package_paths,
)
from toolchain.profile import ROOT, Profile
from toolchain.tasks.library import runtime_objects
from toolchain.tasks.making import FailedError, Task, command, made


def package_task(profile: Profile, after: Iterable[str]) -> Task:
    """The SDK archive, the Python wheels and the npm package of the full library."""
    if profile.file:
        return command(refuse_packages, profile)
    packages = *package_paths(ROOT / "dist"), npm_path(ROOT / "dist")
    artifacts = (f / name for f in profile.folders.values() for name in ARTIFACTS)
    task = made(
        *(make_packages, profile.folders, *packages),
        outputs=packages,
        files=(*artifacts, *SOURCES, *_of_compiler(profile)),
        settings=os.environ.get("SOURCE_DATE_EPOCH", ""),
        after=after,
    )
    return task | {"clean": True}


def _of_compiler(profile: Profile) -> Iterator[Path]:
    """What only the compiler's wheel holds: sources, and records of objects.

    The objects themselves are in the archive.
    """
    yield from compiler_sources()
    for folder in profile.folders.values():
        objects = (folder / "obj" / f"{name}.o" for name in profile.operators)
        for path in (*objects, *runtime_objects(folder)):
            yield path.with_name(f".{path.name}.made")


def make_packages(
    targets: dict[str, Path], sdk: Path, host: Path, compiler: Path, npm: Path
) -> None:
    """Write the SDK archive, the Python wheels and the npm package."""
    from toolchain.link.npm import write_npm
    from toolchain.link.package import write_sdk
    from toolchain.link.wheels import write_compiler, write_host

    write_sdk(targets, sdk)
    write_host(targets, host)
    write_compiler(targets, compiler)
    write_npm(targets, npm)
    for path in (sdk, host, compiler, npm):
        print(f"{path}: {path.stat().st_size} bytes")


def refuse_packages(profile: Profile) -> None:
    """Fail: packages hold every operator for every target."""
    raise FailedError(
        f"packages are made of the full library, not of profile {profile.file}; run "
        f"`doit package`, or take the profile's artifacts from {profile.folder}"
    )
