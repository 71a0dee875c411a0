"""Package: names of all packages and the SDK archive, equal bytes from equal inputs.

Every command of doit loads this file for the names of the packages, so what writes them
is imported where it is used.
"""

from __future__ import annotations

import io
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.link.artifacts import ARCHIVE, MANIFEST, MODULE
from toolchain.profile import ROOT
from toolchain.records.replace import fresh

# What goes into packages beside the artifacts.
SOURCES = (
    ROOT / "pyproject.toml",
    ROOT / "LICENSE",
    *sorted((ROOT / "embed" / "c").glob("*.in")),
    *sorted(path for path in (ROOT / "embed" / "js").glob("*") if path.is_file()),
    *sorted((ROOT / "examples" / "c").glob("*")),
    ROOT / "embed" / "python" / "README.md",
    *sorted((ROOT / "embed" / "python" / "ops_wasm32").glob("*.py")),
    ROOT / "embed" / "python" / "ops_wasm32" / "py.typed",
)
# What the compiler is made of.
_FOLDERS = ("embed/c", "kernels", "runtime_stub", "toolchain")
_SUFFIXES = (".py", ".c", ".h", ".hpp", ".txt")
NPM_NAME = "ops-wasm32"
_EPOCH = 315532800  # 1980-01-01, the first day that a zip file can name


class PackageError(Exception):
    """Artifacts that do not make a package; the text says why."""


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    table: dict[str, Any] = found["project"]
    return table


def package_paths(folder: Path) -> tuple[Path, Path, Path]:
    """Where the SDK archive, the host's wheel and the compiler's go."""
    version = project()["version"]
    return (
        folder / f"ops_wasm32-sdk-{version}.tar.gz",
        folder / f"ops_wasm32-{version}-py3-none-any.whl",
        folder / f"ops_wasm32_compiler-{version}-py3-none-any.whl",
    )


def compiler_sources() -> list[Path]:
    """Sources of the compiler, as they stand in the project."""
    found = [
        os.path.join(folder, name)
        for top in _FOLDERS
        for folder, _, names in os.walk(ROOT / top)
        for name in names
        if name.endswith(_SUFFIXES)
    ]
    return [Path(name) for name in sorted(found)]


def npm_path(folder: Path) -> Path:
    """Where the npm package goes."""
    return folder / f"{NPM_NAME}-{project()['version']}.tgz"


def write_sdk(targets: dict[str, Path], out: Path) -> None:
    """Write the SDK: headers, archives, modules, pkg-config, CMake, example.

    targets: folder of artifacts by name of the target.
    """
    from toolchain.link.bundle import loader

    files = {**_headers(targets), **_templates(list(targets))}
    for name, folder in targets.items():
        files[f"lib/{name}/{ARCHIVE}"] = (folder / ARCHIVE).read_bytes()
        for file in (MODULE, MANIFEST):
            files[f"wasm/{name}/{file}"] = (folder / file).read_bytes()
    for path in (ROOT / "examples" / "c").iterdir():
        files[f"examples/c/{path.name}"] = path.read_bytes()
    files["js/ops_wasm32.mjs"] = loader("../wasm/{target}/" + MODULE).encode()
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    root = out.name.removesuffix(".tar.gz")
    write_tar({f"{root}/{name}": data for name, data in files.items()}, out)


def _headers(targets: dict[str, Path]) -> dict[str, bytes]:
    """Read the headers, which must be the same for every target."""
    found: dict[str, bytes] = {}
    for name, folder in targets.items():
        for path in sorted((folder / "include").glob("*.h*")):
            content = path.read_bytes()
            if found.setdefault(f"include/{path.name}", content) != content:
                raise PackageError(
                    f"{path}: differs from the header of {next(iter(targets))}; build "
                    f"every operator for {name} too: doit build"
                )
    return found


def _templates(targets: list[str]) -> dict[str, bytes]:
    """Fill in the files of embed/c."""
    version = project()["version"]
    values = {
        "VERSION": version,
        "MAJOR": version.split(".")[0],
        "TARGETS": "".join(f" {name}" for name in targets),
    }

    def filled(name: str, **more: str) -> bytes:
        text = (ROOT / "embed" / "c" / f"{name}.in").read_text()
        for key, value in (values | more).items():
            text = text.replace(f"@{key}@", value)
        return text.encode()

    cmake = ("ops_wasm32Config.cmake", "ops_wasm32ConfigVersion.cmake")
    files = {f"lib/cmake/ops_wasm32/{name}": filled(name) for name in cmake}
    for name in targets:
        path = f"lib/pkgconfig/ops_wasm32-{name}.pc"
        files[path] = filled("ops_wasm32.pc", TARGET=name)
    return files | {"README.md": filled("README.md")}


def _epoch() -> int:
    """Time for the members of packages, in seconds: SOURCE_DATE_EPOCH."""
    text = os.environ.get("SOURCE_DATE_EPOCH", str(_EPOCH))
    if not text.isdecimal():
        raise PackageError(
            f"SOURCE_DATE_EPOCH is {text!r}; give seconds since 1970, or unset it"
        )
    return int(text)


def write_tar(files: dict[str, bytes], out: Path) -> None:
    """Write a packed archive of files by their names, the same from the same bytes."""
    import gzip
    import tarfile

    epoch = _epoch()
    with (
        fresh(out) as new,
        new.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), epoch, 0o644
            tar.addfile(member, io.BytesIO(content))


@contextmanager
def fixed_time() -> Iterator[None]:
    """Give flit a time to put into the wheel: it takes one from the environment."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(_epoch())
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before
