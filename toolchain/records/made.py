"""Made: outputs carry a record of what they were made from, and are checked by it.

The record lies beside the first output, as `.<name>.made`, and is written after all
outputs. It holds hashes of everything that decides their bytes, and of those bytes, but
no times and no paths. So a build that was killed at any moment, a damaged output, an
edit that was undone and a copied or restored folder are all seen for what they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import Signature
from pathlib import Path
from typing import Any, ClassVar

from toolchain.records.places import ROOT, WORK
from toolchain.records.replace import write
from toolchain.records.slices import sources
from toolchain.records.states import Contents


class ChangedError(Exception):
    """A source that was written while something was made of it; the text names it."""


@dataclass(frozen=True)
class Made:
    """Outputs, and what they are made from.

    code: roots of slices (see records/slices.py). files: read for their content, C with
    what it includes; they may be missing. settings: all else that decides the
    outputs, as JSON has it. named: settings by a name of their own, of which those
    count whose names are among the roots that making the outputs shows.
    """

    outputs: tuple[Path, ...]
    code: tuple[str, ...]
    files: tuple[Path, ...] = ()
    settings: Any = None
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        """The file that says what the outputs were made from."""
        return self.outputs[0].with_name(f".{self.outputs[0].name}.made")

    def current(self) -> bool:
        """Whether the outputs are there, whole, and what would be made now."""
        return self.found() is not None

    # doit calls what says whether a task is up to date, and asks for its parameters,
    # which to find takes longer than the call.
    __call__ = current
    __signature__: ClassVar = Signature()

    def found(self) -> list[str] | None:
        """Roots of code that making them showed; None where they are not current."""
        try:
            saved = json.loads(self.record.read_text())
            found = [str(root) for root in saved["found"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if saved == self._record(found) else None

    def make(self, action: Callable[[], Iterable[str] | None]) -> None:
        """Run the action, which writes the outputs, and record what they came from.

        It may give further roots of code. Errors: ChangedError where anything that it
        reads was written meanwhile: who knows which of it is in the outputs?
        """
        before = self._files()
        found = sorted(set(action() or ()))
        after = self._files()
        changed = [
            name for (name, a), (_, b) in zip(before, after, strict=True) if a != b
        ]
        changed += map(str, sources().changed(self._roots(found)))
        if changed:
            raise ChangedError(
                f"{', '.join(changed)}: written while {self.outputs[0]} was made of "
                "it; build again"
            )
        if all(path.exists() for path in self.outputs):
            text = json.dumps(self._record(found), indent=1, sort_keys=True)
            write(self.record, text.encode() + b"\n")

    def _files(self) -> list[tuple[str, str]]:
        files = [p for path in self.files for p in _with_includes(path)]
        return [(path.name, contents().hash_of(path)) for path in files]

    def _roots(self, found: list[str]) -> list[str]:
        return sorted({*found, *self.code} - set(self.named))

    def _record(self, found: list[str]) -> dict[str, object]:
        code = [sources().digest(root) for root in self._roots(found)]
        named = {name: self.named[name] for name in found if name in self.named}
        settings = [self.settings, named]
        inputs = json.dumps([code, self._files(), settings], sort_keys=True)
        return {
            "from": hashlib.sha256(inputs.encode()).hexdigest(),
            "found": found,
            "outputs": {path.name: contents().hash_of(path) for path in self.outputs},
        }


@cache
def contents() -> Contents:
    """The hashes of files, for the life of this process."""
    return Contents(WORK / ".contents.json")


def keep() -> None:
    """Let the next process know what this one found out about files."""
    contents().keep()
    sources().keep()


@cache
def _with_includes(path: Path) -> list[Path]:
    """A file, and if it is C, all that it includes by a name in quotes."""
    found = [path]
    for file in found:  # which grows
        for name in contents().included(file):
            places = (file.parent / name, ROOT / "runtime_stub" / name)
            here = next((p for p in places if p.exists()), None)
            found += [here] if here and here not in found else []
    return found
