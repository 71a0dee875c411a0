"""Wheels: the host package, and the compiler as a package that the host finds.

The compiler's wheel is one folder: the sources of the project as they stand in a
checkout, and the library's objects with their records, so that a first model links them
as they are. It needs the versions of the tools that the project has, exactly.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from flit_core.wheel import make_wheel_in

from toolchain.link.artifacts import MODULE
from toolchain.link.package import (
    SOURCES,
    PackageError,
    compiler_sources,
    fixed_time,
    project,
)
from toolchain.profile import ROOT
from toolchain.records.replace import write

_OBJECTS = ("obj", "runtime")
_HOST = ("numpy>=2,<3", "wasmtime>=50,<51")
# Tools of the project that a compiler does not use.
_UNUSED = ("flit-core", "wasmtime")
_TEMPLATE = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"

[project]
name = {name}
version = {version}
description = {description}
readme = "README.md"
requires-python = {python}
license = {license}
license-files = ["LICENSE"]
dependencies = {dependencies}
"""
_HOST_MORE = """
[project.optional-dependencies]
compiler = {compiler}
completion = {completion}

[project.scripts]
ops-wasm32 = "ops_wasm32.__main__:main"
"""
_COMPILER = '''\
"""The compiler of ops-wasm32, which the command of that name runs.

Its sources are in this folder, as in a checkout of the project; who writes operators
imports their vocabulary as toolchain.spec there.
"""

__version__ = "{version}"
'''


def write_host(targets: Mapping[str, Path], out: Path) -> None:
    """Write the wheel of the host package, with a module for each target."""
    version, extras = project()["version"], project()["optional-dependencies"]
    files = {f"ops_wasm32/{p.name}": p for p in SOURCES if _is_host(p)}
    for target, artifacts in targets.items():
        files[f"ops_wasm32/wasm/{target}/{MODULE}"] = artifacts / MODULE
    more = _HOST_MORE.format(
        compiler=json.dumps([f"ops-wasm32-compiler=={version}"]),
        completion=json.dumps(extras["completion"]),
    )
    _write_wheel("ops_wasm32", _HOST, more, files, out)


def _is_host(path: Path) -> bool:
    return path.parent.name == "ops_wasm32"


def write_compiler(targets: Mapping[str, Path], out: Path) -> None:
    """Write the wheel of the compiler: sources, and for each target objects."""
    name = "ops_wasm32_compiler"
    files = {f"{name}/{p.relative_to(ROOT)}": p for p in compiler_sources()}
    for target, artifacts in targets.items():
        for path in _objects(artifacts):
            inside = path.relative_to(artifacts)
            files[f"{name}/build/{target}/{inside}"] = path
    text = _COMPILER.format(version=project()["version"])
    _write_wheel(name, requirements(), "", files, out, text)


def _objects(folder: Path) -> Iterator[Path]:
    """A target's objects of operators and runtime, with their records.

    Errors: PackageError where one is missing.
    """
    for path in (p for kind in _OBJECTS for p in sorted((folder / kind).glob("*.o"))):
        found = [path, path.with_name(f".{path.name}.made")]
        if path.parent.name == "obj":
            found.append(path.with_suffix(".json"))
        for file in found:
            if not file.exists():
                raise PackageError(f"{file}: is missing; run `doit build`")
        yield from found


def requirements() -> list[str]:
    """What the compiler depends on: the project's versions, exactly."""
    table = project()
    extras = table["optional-dependencies"]
    tools = (*table["dependencies"], *extras["models"], *extras["terminal"])
    used = [r for r in tools if r.partition("==")[0] not in _UNUSED]
    return [*used, f"ops-wasm32=={table['version']}"]


def _write_wheel(
    name: str,
    dependencies: Sequence[str],
    more: str,
    files: Mapping[str, Path],
    out: Path,
    package: str = "",
) -> None:
    """Write a wheel of files by their paths inside, by flit.

    more: of its pyproject.toml. package: what its __init__.py says, if no file does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        readme = ROOT / "embed" / "python" / "README.md"
        beside = {"LICENSE": ROOT / "LICENSE", "README.md": readme}
        for inside, path in {**files, **beside}.items():
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / inside)
        if package:
            (folder / name / "__init__.py").write_text(package)
        (folder / "pyproject.toml").write_text(_head(name, dependencies) + more)
        with fixed_time():
            made = make_wheel_in(folder / "pyproject.toml", folder).file
        if made.name != out.name:
            raise PackageError(f"the wheel is {made.name}, but {out} was expected")
        write(out, made.read_bytes())


def _head(name: str, dependencies: Iterable[str]) -> str:
    """The part of pyproject.toml that both wheels have."""
    table = project()
    values: dict[str, object] = {
        "name": name,
        "version": table["version"],
        "description": table["description"],
        "license": table["license"],
        "python": table["requires-python"],
        "dependencies": list(dependencies),
    }
    return _TEMPLATE.format(**{k: json.dumps(v) for k, v in values.items()})
