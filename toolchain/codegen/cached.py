"""Cached: objects of a model's operators and kernels, kept for the next model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolchain.codegen.child import Job, in_children
from toolchain.process.confined import words
from toolchain.records.cache import use
from toolchain.records.definitions import hash_of
from toolchain.records.made import Made
from toolchain.records.slices import sources
from toolchain.spec import SpecError

SHOWN = 4  # nodes that an error names


@dataclass(frozen=True)
class Wanted:
    """An object. compile: writes it, and gives roots of what it names at run time.

    what: it is, for errors; places: of the nodes of the file that it is for; tensors:
    inputs of one of them, as float32[2, 3].
    """

    name: str
    made: Made
    compile: Callable[[], Iterable[str]]
    what: str
    places: Sequence[str]
    tensors: Sequence[str]


def key_of(code: Iterable[str], settings: Sequence[Any]) -> str:
    """A name for what is made of code (roots of slices) and settings."""
    digests = [sources().digest(root) for root in code]
    return hash_of(json.dumps([digests, settings], sort_keys=True))[:16]


def make_objects(
    wanted: Sequence[Wanted], kind: str, seconds: float, show: Callable[[str], None]
) -> None:
    """Make the objects that are not there, or not whole. kind: what progress calls one.

    seconds: for each. Errors: SpecError with every one that cannot be compiled.
    """
    missing = [w for w in wanted if not w.made.current()]
    jobs = [
        Job(Path(w.name), partial(w.made.make, w.compile), seconds) for w in missing
    ]
    owners = dict(zip(map(id, jobs), missing, strict=True))
    failed = []
    if jobs:
        import tvm  # noqa: F401  # before the fork, so that it is imported once
    for i, (job, reason) in enumerate(in_children(jobs, os.cpu_count() or 1), 1):
        show(f"{kind} {i}/{len(jobs)} {job.label}")
        if reason is not None:
            failed.append(_failure(owners[id(job)], reason))
    if failed:
        raise SpecError("\n".join(sorted(failed)))
    for one in wanted:
        use(one.made)


def _failure(wanted: Wanted, reason: str) -> str:
    """Why an object cannot be compiled, for which nodes of the file, what to do."""
    places = list(dict.fromkeys(p for p in wanted.places if p)) or ["the graph"]
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    tensors = ", ".join(wanted.tensors) or "no inputs"
    return (
        f"{'; '.join(places[:SHOWN])}{more}: {wanted.what} of {tensors} cannot be "
        f"compiled; change or leave out what is named here{words(reason)}"
    )
