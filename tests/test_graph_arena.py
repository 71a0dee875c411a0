"""The gaps of a model's arena (runtime_stub/graph_arena.c), called alone."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from abi import runtime_objects

from toolchain.process.command import run, tool

TARGET = "mvp"
MOST = 64  # gaps
Gap = tuple[int, int]


class Arena:
    """An arena, and beside it the gaps that it must have, as (start, end)."""

    def __init__(self, file: Path) -> None:
        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(self.store.engine, str(file))
        instance = wasmtime.Instance(self.store, module, [])
        self.exports: Any = instance.exports(self.store)
        base: Any = self.exports["__heap_base"]
        self.at = -(-base.value(self.store) // 8) * 8
        self.gaps: list[Gap] = []
        self.top = 0
        self.live: dict[int, int] = {}

    def take(self, size: int) -> int:
        """The offset is that of the smallest gap, or of the top."""
        found: int = self.exports["ops_arena_take"](self.store, self.at, size)
        least = min((b - a for a, b in self.gaps if b - a >= size), default=0)
        last = next((g for g in self.gaps if g[1] == self.top), (self.top, self.top))
        if least:
            assert (found, found + least) in self.gaps
        else:
            assert found == last[0]
        self.gaps = [g for g in self.gaps if g[0] != found]
        self.gaps += [(found + size, found + least)] if least > size else []
        self.top = max(self.top, found + size)
        self.live[found] = size
        self.check()
        return found

    def give(self, start: int) -> None:
        """Gaps that touch are one; the smallest of too many is forgotten."""
        size = self.live.pop(start)
        self.exports["ops_arena_give"](self.store, self.at, start, size)
        beside = [g for g in self.gaps if g[1] == start or g[0] == start + size]
        self.gaps = [g for g in self.gaps if g not in beside]
        if len(self.gaps) == MOST:
            self.gaps.remove(min(self.gaps, key=lambda g: g[1] - g[0]))
        ends = [end for gap in (*beside, (start, start + size)) for end in gap]
        self.gaps.append((min(ends), max(ends)))
        self.check()

    def check(self) -> None:
        """What stands in memory: top, how many gaps, the gaps."""
        memory = self.exports["memory"]
        block = memory.read(self.store, self.at, self.at + 12 + 8 * MOST)
        top, count = struct.unpack_from("<Qi", block)
        ends = struct.unpack_from(f"<{2 * count}I", block, 12)
        assert top == self.top
        assert sorted(zip(ends[::2], ends[1::2], strict=True)) == sorted(self.gaps)


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    (code,) = (o for o in runtime_objects(TARGET) if o.stem == "graph_arena")
    names = ("ops_arena_take", "ops_arena_give", "__heap_base")
    words: list[str | Path] = ["--no-entry", "--initial-memory=131072"]
    words += [f"--export={name}" for name in names]
    run([*tool("WASM_LD"), *words, code, "-o", tmp_path / "arena.wasm"])
    return Arena(tmp_path / "arena.wasm")


@pytest.mark.parametrize("seed", range(3))
def test_values_take_the_smallest_gap(arena: Arena, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(400):
        if arena.live and rng.random() < 0.5:
            arena.give(rng.choice(list(arena.live)))
        elif len(arena.live) < MOST:
            arena.take(64 * rng.randrange(1, 9))
    for start in list(arena.live):
        arena.give(start)
    assert arena.gaps == [(0, arena.top)]


def test_of_too_many_gaps_the_smallest_is_forgotten(arena: Arena) -> None:
    sizes = [64 * n for n in range(1, 2 * MOST + 20)]
    random.Random(0).shuffle(sizes)
    blocks = [arena.take(size) for size in sizes]
    for start in blocks[::2]:
        arena.give(start)
    assert len(arena.gaps) == MOST
    for start in blocks[1::2]:
        arena.give(start)
