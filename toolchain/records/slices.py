"""Slices: what a definition follows from in this project's own sources.

A build makes again exactly what an edit changes. So an output is checked against the
definitions that its code can reach, not against files: comments, docstrings, test
cases and functions that it does not use do not count. A slice is found in the syntax
of the sources, without running them:

- a top-level statement defines the names that it binds, and uses the names in it;
- a name that is imported is the definition in the other file; a module that is used
  as an object is all of its file;
- a statement that binds nothing, an import that nothing in its file uses, and a
  definition that its decorator may register somewhere count for whoever uses anything
  of their file.

A root is written "package.module:name", or "folder/file.py:name" for an operator.
What is chosen by a name at run time is invisible here: a build adds it as a root of
its own (the families of micro-kernels, the operators of a model).
`tests/test_slices.py` holds slices against what compilations run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

from toolchain.records.definitions import Index, hash_of, index_of
from toolchain.records.places import ROOT, WORK
from toolchain.records.states import State, load, save, settled, state

# Of these tables an output follows from single entries, which its settings hold.
_BY_SETTINGS = {("toolchain.targets", "TARGETS"), ("toolchain.tuning.table", "TABLE")}
# Where things lie decides no bytes.
_PLACES = "toolchain.records.places"
_INSIDE = f"{ROOT}{os.sep}"
_MOST = 1000  # sources that are kept, also as they were before edits
_Definition = tuple[str, str]  # module or file, name


class Sources:
    """The project's sources, as they were when each was first read.

    kept: a folder for what was found in them; to read them all takes a second.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self.kept = kept
        self.used: set[str] = set()
        # Files that were read and folders that were searched, as they were then.
        self.seen: dict[str, State] = {}
        self.indices: dict[str, Index] = {}
        self.files: dict[str, Path | None] = {}
        self.slices: dict[str, set[_Definition]] = {}
        self.digests: dict[str, str] = {}
        self.fresh = False
        self._recall()

    @cached_property
    def known(self) -> dict[str, Index]:
        """What is defined in the sources, by a hash of their text."""
        return load(self.kept / ".definitions.json") if self.kept else {}

    def _recall(self) -> None:
        """The digests of before, where all that they follow from is as it was."""
        before = load(self.kept / ".digests.json") if self.kept else {}
        seen = {path: tuple(at) for path, at in before.get("seen", {}).items()}
        if all(state(path) == at for path, at in seen.items()):
            self.seen, self.digests = seen, before.get("digests", {})

    def keep(self) -> None:
        """Keep what was found, for the next process."""
        if not self.kept or not self.fresh:
            return
        known = self.known
        if len(known) > _MOST:
            known = {k: known[k] for k in self.used}
        save(self.kept / ".definitions.json", known)
        if settled(self.seen.values()):
            found = {"seen": self.seen, "digests": self.digests}
            save(self.kept / ".digests.json", found)
        self.fresh = False

    def digest(self, root: str) -> str:
        """A hash of all that a root can reach, wherever the project stands."""
        if root not in self.digests:
            found = sorted(
                f"{_label(m)}:{n} {self._index(m)['definitions'][n][0]}"
                for m, n in self.slice(root)
            )
            self.digests[root] = hash_of("\n".join(found))
            self.fresh = True
        return self.digests[root]

    def changed(self, roots: Iterable[str]) -> list[Path]:
        """Files of the roots' slices that were written since they were read."""
        files = {self._file(m) for root in roots for m, _ in self.slice(root)}
        return sorted(p for p in files if p and state(p) != self.seen[str(p)])

    def slice(self, root: str) -> set[_Definition]:
        """All definitions that a root can reach, with itself."""
        if root not in self.slices:
            module, _, name = root.rpartition(":")
            found: set[_Definition] = set()
            todo = list(self._resolved(module, name))
            while todo:
                definition = todo.pop()
                if definition not in found:
                    found.add(definition)
                    todo += self._next(*definition)
            self.slices[root] = found
        return self.slices[root]

    def _next(self, module: str, name: str) -> Iterator[_Definition]:
        """What a definition uses, and what acts in its file by being run."""
        for use in self._index(module)["definitions"][name][1]:
            other, elsewhere, path = use.partition(":")
            yield from self._resolved(*((other, path) if elsewhere else (module, use)))
        for package in self._packages(module):
            for effect in self._index(package)["effects"]:
                yield package, effect

    def _resolved(self, module: str, path: str) -> Iterator[_Definition]:
        """What a dotted path in a module means: a definition, or all of a module."""
        name, _, rest = path.partition(".")
        if self._file(module) is None or (module, name) in _BY_SETTINGS:
            return
        if module == _PLACES:
            return
        definitions = self._index(module)["definitions"]
        if name in definitions:
            yield module, name
        elif name and self._file(f"{module}.{name}"):
            yield from self._resolved(f"{module}.{name}", rest)
        else:
            yield from ((module, n) for n in definitions)

    def _index(self, module: str) -> Index:
        if module not in self.indices:
            path = self._file(module)
            assert path is not None
            self.seen.setdefault(str(path), state(path))
            text = path.read_bytes()
            key = hash_of(text)
            self.used.add(key)
            if key not in self.known:
                self.known[key] = index_of(text)
                self.fresh = True
            self.indices[module] = self.known[key]
        return self.indices[module]

    def _file(self, module: str) -> Path | None:
        """The file of a module of the project, or of an operator."""
        if module not in self.files:
            self.files[module] = self._find(module)
        return self.files[module]

    def _find(self, module: str) -> Path | None:
        if module.endswith(".py"):
            path = ROOT / module
            self.seen.setdefault(str(path), state(path))
            # A record may name an operator whose file is gone: it is no longer true.
            return path if path.is_file() else None
        base = ROOT.joinpath(*module.split("."))
        for folder in (base.parent, base):
            self.seen.setdefault(str(folder), state(folder))
        found = (base.with_suffix(".py"), base / "__init__.py")
        return next((p for p in found if p.is_file()), None)

    def _packages(self, module: str) -> list[str]:
        """A module and the packages around it, where they have a file."""
        if module.endswith(".py"):
            return [module]
        parts = module.split(".")
        names = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
        return [n for n in names if self._file(n)]


def root_of(definition: Callable[..., object]) -> str:
    """The root that a function or a class is."""
    return f"{definition.__module__}:{definition.__qualname__}"


def root_in(file: Path, name: str) -> str:
    """The root that a definition of an operator's file is."""
    return f"{str(file).removeprefix(_INSIDE)}:{name}"


@cache
def sources() -> Sources:
    """The sources of this project, for the life of this process."""
    return Sources(WORK)


def _label(module: str) -> str:
    """A module's name in a digest; of a file elsewhere only its own."""
    return Path(module).name if os.path.isabs(module) else module
