"""Profile: what one build holds: operators, dtypes, targets, memory, folders."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from toolchain import tuning
from toolchain.abi import MAX_MEMORY
from toolchain.records import places
from toolchain.targets import TARGETS

ROOT = places.ROOT
KERNELS = ROOT / "kernels"
COMPILE_TIMEOUT = 300  # seconds; the slowest operator takes under 20
_LEAST_MEMORY = 1 << 20
_KEYS = (
    *("operators", "targets", "max_memory", "folders", "compile_timeout", "tuning"),
)
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def version() -> str:
    """The project's, which all of its packages have. Only a checkout says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


class ProfileError(Exception):
    """A profile that cannot be built; the text names the file, key and value."""


@dataclass(frozen=True)
class Profile:
    """One build. operators: file by name; dtypes: those wanted, None for all.

    folder: where the artifacts go. max_memory: bytes. compile_timeout: seconds
    for one object. file: that it was read from; None: the full library. tuning: for
    each target the numbers that are not as toolchain/tuning has them.
    """

    folder: Path
    operators: dict[str, Path]
    dtypes: dict[str, tuple[str, ...] | None]
    targets: tuple[str, ...]
    max_memory: int = MAX_MEMORY
    compile_timeout: float = COMPILE_TIMEOUT
    file: Path | None = None
    tuning: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each target's artifacts."""
        return {target: self.folder / target for target in self.targets}

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """For each target every number of its tuning, by what records have for it."""
        return {t: tuning.roots(t, changed) for t, changed in self.tuning.items()}


def operator_files(*folders: Path) -> dict[str, Path]:
    """Operator files by name; names that start with _ are not operators."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            if path.stem in found:
                raise ProfileError(
                    f"{path}: {found[path.stem]} has the same name; rename yours"
                )
            if not path.name.startswith("_"):
                found[path.stem] = path
    return found


def full_profile() -> Profile:
    """Every operator for every target, into build/."""
    files = operator_files(KERNELS)
    numbers: dict[str, dict[str, int]] = {target: {} for target in TARGETS}
    dtypes: dict[str, tuple[str, ...] | None] = dict.fromkeys(files)
    return Profile(places.BUILT, files, dtypes, targets=tuple(TARGETS), tuning=numbers)


def load_profile(path: Path | None) -> Profile:
    """The profile of a TOML file; the full one for None. Errors: ProfileError."""
    if path is None:
        return full_profile()
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        file = path.with_name(f"{path.name}.toml")
        advice = f"; did you mean {file}?" if file.exists() else ""
        text = f"{path}: cannot be read ({error.strerror}){advice}"
        raise ProfileError(text) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: is not valid TOML: {error}") from None
    if unknown := sorted(set(data) - set(_KEYS)):
        raise ProfileError(
            f"{path}: key {unknown[0]!r} is unknown; use {', '.join(_KEYS)}"
        )
    folders = [_folder(path, f) for f in _strings(path, data, "folders", [])]
    files = operator_files(KERNELS, *folders)
    own = [name for name, file in files.items() if file.parent != KERNELS]
    dtypes, targets = _operators(path, data, files, own), _targets(path, data)
    return Profile(
        places.WORK / "profiles" / path.stem,
        {name: files[name] for name in sorted(dtypes)},
        dtypes,
        targets,
        _memory(path, data.get("max_memory", MAX_MEMORY)),
        _timeout(path, data.get("compile_timeout", COMPILE_TIMEOUT)),
        path,
        _tuning(path, data.get("tuning", {}), targets),
    )


def profile_or_exit(name: str | None) -> Profile:
    """The profile of a file, or the full one; ends the program on a mistake."""
    try:
        return load_profile(Path(name) if name else None)
    except ProfileError as error:
        sys.exit(f"error: {error}")


def _strings(
    path: Path, data: dict[str, Any], key: str, default: list[str]
) -> list[str]:
    value = data.get(key, default)
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ProfileError(f"{path}: {key} is {value!r}; give a list of strings")
    return value


def _folder(path: Path, name: str) -> Path:
    folder = (path.parent / name).resolve()
    if not folder.is_dir():
        raise ProfileError(f"{path}: folders names {name!r}, but {folder} is no folder")
    return folder


def _operators(
    path: Path, data: dict[str, Any], files: dict[str, Path], own: list[str]
) -> dict[str, tuple[str, ...] | None]:
    """Dtypes of the operators that are wanted; the user's own ones always are."""
    given = data.get("operators", list(files))
    if isinstance(given, list):
        given = dict.fromkeys(given, True)
    if not isinstance(given, dict) or not given:
        raise ProfileError(
            f"{path}: operators is {given!r}; give a list of names, or a table "
            'name = ["float32", ...] (true: all its dtypes)'
        )
    for name, dtypes in given.items():
        if name not in files:
            raise ProfileError(
                f"{path}: operator {name!r} is unknown; use {', '.join(sorted(files))}"
            )
        listed = isinstance(dtypes, list) and all(isinstance(d, str) for d in dtypes)
        if dtypes is not True and not (listed and dtypes):
            raise ProfileError(
                f"{path}: operators.{name} is {dtypes!r}; give a list of dtypes or true"
            )
    wanted = dict.fromkeys(own, True) | given
    return {n: tuple(d) if isinstance(d, list) else None for n, d in wanted.items()}


def _targets(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    names = _strings(path, data, "targets", list(TARGETS))
    if not names:
        raise ProfileError(f"{path}: targets is empty; use {', '.join(TARGETS)}")
    for name in names:
        if name not in TARGETS:
            raise ProfileError(
                f"{path}: target {name!r} is unknown; use {', '.join(TARGETS)}"
            )
    return tuple(dict.fromkeys(names))


def _memory(path: Path, value: Any) -> int:
    match = re.fullmatch(r"(\d+) ?(KiB|MiB|GiB|)", str(value))
    size = int(match[1]) * _UNITS[match[2]] if match else -1
    if isinstance(value, bool) or not _LEAST_MEMORY <= size <= MAX_MEMORY:
        raise ProfileError(
            f"{path}: max_memory is {value!r}; give bytes or text like "
            '"64 MiB", from 1 MiB to 4 GiB'
        )
    return size


def _timeout(path: Path, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ProfileError(
            f"{path}: compile_timeout is {value!r}; give seconds, more than 0"
        )
    return float(value)


def _tuning(
    path: Path, given: Any, targets: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Numbers by target; [tuning.<target>] comes before [tuning]."""
    tables = given if isinstance(given, dict) else {}
    for name in tables:
        if name in TARGETS and name not in targets:
            raise ProfileError(
                f"{path}: tuning.{name} is of a target that is not built; use one of "
                f"{', '.join(targets)}"
            )
    everywhere = {n: v for n, v in tables.items() if n not in TARGETS}
    shared = _numbers(path, "tuning", everywhere if tables else given)
    return {
        t: shared | _numbers(path, f"tuning.{t}", tables.get(t, {})) for t in targets
    }


def _numbers(path: Path, table: str, given: Any) -> dict[str, int]:
    """The numbers of a table, `gemm.kc = 256` or in tables of their own."""
    if not isinstance(given, dict):
        raise ProfileError(
            f"{path}: {table} is {given!r}; give a table, as in\n"
            f"[{table}]\ngemm.kc = 256"
        )
    flat: dict[str, Any] = {}
    for group, values in given.items():
        entries = values.items() if isinstance(values, dict) else [("", values)]
        flat |= {f"{group}.{name}".rstrip("."): value for name, value in entries}
    try:
        return {name: tuning.check(name, value) for name, value in flat.items()}
    except tuning.TuningError as error:
        raise ProfileError(f"{path}: [{table}]: {error}") from None
