"""The cache of kernels: what stays, what goes, and when."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from toolchain.records.cache import in_use, use
from toolchain.records.made import Made

SIZE = 100  # bytes of each object


def _write(path: Path) -> None:
    path.write_bytes(bytes(SIZE))


@pytest.fixture
def entries(tmp_path: Path) -> list[Made]:
    """Four objects of a cache, the first of which was used first."""
    found = []
    for i in range(4):
        entry = Made((tmp_path / f"kernel{i}.o",), ("toolchain.link.link:link",))
        entry.make(partial(_write, entry.outputs[0]))
        os.utime(entry.record, (1 + i, 1 + i))
        found.append(entry)
    return found


def left(entries: list[Made]) -> list[int]:
    """Which objects are there, each with its record and whole."""
    folder = entries[0].outputs[0].parent
    there = [i for i, entry in enumerate(entries) if entry.current()]
    assert len(there) == len(list(folder.glob("*.o"))) == len(list(folder.glob(".*e")))
    return there


def test_what_was_not_used_for_longest_goes(entries: list[Made]) -> None:
    folder = entries[0].outputs[0].parent
    with in_use(folder, 4 * SIZE):
        use(entries[0])
    assert left(entries) == [0, 1, 2, 3]
    with in_use(folder, 4 * SIZE - 1):
        assert left(entries) == [0, 1, 2, 3]
    assert left(entries) == [0, 2, 3]
    with in_use(folder, 0):
        pass
    assert left(entries) == []


def test_nothing_goes_while_others_use_the_cache(entries: list[Made]) -> None:
    folder = entries[0].outputs[0].parent
    with in_use(folder, 2 * SIZE):
        with in_use(folder, 0):
            pass
        assert left(entries) == [0, 1, 2, 3]
    assert left(entries) == [2, 3]


def test_an_object_without_a_record_goes_first(entries: list[Made]) -> None:
    entries[3].record.unlink()
    with in_use(entries[0].outputs[0].parent, 3 * SIZE):
        pass
    assert left(entries) == [0, 1, 2]


def test_what_is_not_an_object_stays(tmp_path: Path) -> None:
    with in_use(tmp_path, 0):
        (tmp_path / "notes.txt").write_text("mine")
    assert (tmp_path / "notes.txt").exists()
