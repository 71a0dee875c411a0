"""A copy of the project in a folder of its own, to build and change at will."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from toolchain.profile import ROOT
from toolchain.targets import TARGETS

SOURCES = (
    "dodo.py",
    "bench",
    "embed",
    "kernels",
    "toolchain",
    "runtime_stub",
    "pyproject.toml",
)


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    code: int
    text: str

    @property
    def ran(self) -> list[str]:
        """Names of the tasks that had something to do, but for the closing one."""
        names = re.findall(r"^\[ *\d+/\d+\] (\S+)", self.text, re.M)
        return sorted(n for n in names if n != "build")


@dataclass(frozen=True)
class Project:
    """A copy of the project's sources."""

    folder: Path

    def doit(self, *words: str, **environment: str) -> Done:
        """Run doit in the copy."""
        done = subprocess.run(
            [sys.executable, "-m", "doit", *words],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def profile(self, text: str, name: str = "small") -> str:
        """Write a profile; the word that selects it on doit's command line."""
        (self.folder / f"{name}.toml").write_text(text)
        return f"profile={name}.toml"

    def begun(self, text: str, name: str = "small") -> str:
        """A profile whose build finds objects of the project's own; as `profile`."""
        word = self.profile(text, name)
        take_objects(self.folder, self.folder / f"{name}.toml")
        return word

    def artifacts(self, name: str = "small") -> dict[str, bytes]:
        """Content of everything that a build of a profile leaves."""
        top = self.folder / "build" / "profiles" / name
        return {
            str(path.relative_to(top)): path.read_bytes()
            for path in sorted(top.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that a file must hold."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


def take_objects(folder: Path, profile: Path) -> None:
    """Give a profile of a copy the objects that the project's own build has.

    Records lie beside them, so that a build of the copy makes again what its edits
    changed, and no more. That a build from nothing gives the same bytes in any folder
    is a test of its own.
    """
    wanted = tomllib.loads(profile.read_text())
    names = [f"obj/{name}.o" for name in wanted.get("operators", ())]
    for target in {*wanted.get("targets", TARGETS)} & {*TARGETS}:
        theirs = ROOT / "build" / target
        ours = folder / "build" / "profiles" / profile.stem / target
        for path in (*(theirs / "runtime").glob("*.o"), *map(theirs.joinpath, names)):
            new = (ours / path.relative_to(theirs)).parent
            new.mkdir(parents=True, exist_ok=True)
            record = path.with_name(f".{path.name}.made")
            for file in (path, path.with_suffix(".json"), record):
                if file.exists():
                    shutil.copyfile(file, new / file.name)


def copy_project(folder: Path) -> Project:
    """Copy the sources into a new folder."""
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder)
    return Project(folder)
