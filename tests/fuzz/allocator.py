"""The allocator: blocks in any order, sizes of any kind, frees of anything."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from abi import Module
from test_allocator import check_apart

from fuzz import library, targets

STEPS = 1500
SIZES = (0, 1, 4, 60, 64, 65, 300, 1000, 20_000, 300_000, 2 << 20)
HUGE = (2**32 - 1, 2**32 - 63, 2**32 - 64, 2**31, 2**31 - 1, 0x80000001)
MOST = 64 << 20  # bytes alive, so that what is refused is refused for its size
INVALID_POINTER = 5


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Try a run of steps for each seed, on the targets by turns."""
    names = targets(build)
    for seed in seeds:
        target = names[seed % len(names)]
        try:
            _steps(Module(library(build, target)), random.Random(seed))
        except AssertionError as error:
            yield seed, f"{target}: {error}"


def _steps(module: Module, rng: random.Random) -> None:
    live: dict[int, int] = {}
    for step in range(STEPS):
        kind = rng.random()
        if kind < 0.5:
            _allocate(module, rng, live)
        elif kind < 0.9 and live:
            start = rng.choice(list(live))
            _check_marks(module, start, live.pop(start))
            assert _free(module, start) == 0, f"step {step}: a live block is refused"
            assert _free(module, start) == INVALID_POINTER, f"step {step}: freed twice"
        elif kind < 0.95:
            start = rng.choice((0, 1, 64, 65536, rng.randrange(2**32)))
            if start not in live:
                assert _free(module, start) == INVALID_POINTER, f"{start} is freed"
        elif rng.random() < 0.05:
            module.memory.grow(module.store, 1)  # another allocator's
    check_apart(live)
    for start, size in live.items():
        _check_marks(module, start, size)
        assert _free(module, start) == 0, "a live block is refused at the end"
    assert module.run("ops_alloc", MOST // 2), "memory does not come back"


def _allocate(module: Module, rng: random.Random, live: dict[int, int]) -> None:
    size = rng.choice(HUGE) if rng.random() < 0.02 else rng.choice(SIZES)
    if sum(live.values()) + size > MOST and size not in HUGE:
        return
    start = module.run("ops_alloc", _signed(size)) & 0xFFFFFFFF
    if not start:
        assert size in HUGE, f"no block of {size} bytes"
        return
    assert start + size <= module.memory.data_len(module.store), "outside memory"
    assert start not in live, "one block twice"
    if size in HUGE:
        assert _free(module, start) == 0
        return
    live[start] = size
    if size >= 8:
        for at in (start, start + size - 4):
            module.write(at, start.to_bytes(4, "little"))


def _check_marks(module: Module, start: int, size: int) -> None:
    if size >= 8:
        for at in (start, start + size - 4):
            found = int.from_bytes(module.read(at, 4), "little")
            assert found == start, f"block {start} of {size} bytes was overwritten"


def _free(module: Module, start: int) -> int:
    return module.run("ops_free", _signed(start))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
