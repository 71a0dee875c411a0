"""The allocator: blocks apart, memory that others grow, workspaces given back."""

from __future__ import annotations

import random

import pytest
from abi import Module, library_path

from toolchain.targets import TARGETS

ALIGNMENT, PAGE = 64, 65536
MANY = 10_000


@pytest.fixture(params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


def check_apart(live: dict[int, int]) -> None:
    """Blocks (start: size) are aligned, and none reaches into the next."""
    end = 0
    for start, size in sorted(live.items()):
        assert start % ALIGNMENT == 0
        assert start >= end
        end = start + size


def test_blocks_stay_apart_and_keep_what_they_hold(module: Module) -> None:
    rng = random.Random(3)
    live: dict[int, int] = {}
    for step in range(3000):
        if live and rng.random() < 0.48:
            start = rng.choice(list(live))
            mark = start.to_bytes(4, "little")
            assert module.read(start, 4) == mark
            assert module.read(start + live.pop(start) - 4, 4) == mark
            assert module.run("ops_free", start) == 0
        else:
            size = rng.choice((4, 60, 64, 65, 1000, 40_000, 300_000))
            start = module.run("ops_alloc", size) & 0xFFFFFFFF
            live[start] = size
            module.write(start, start.to_bytes(4, "little"))
            module.write(start + size - 4, start.to_bytes(4, "little"))
        if step % 100 == 0:
            module.memory.grow(module.store, 1)  # another allocator's
            check_apart(live)
    for start in live:
        assert module.run("ops_free", start) == 0


def test_many_blocks_and_all_their_memory_again(module: Module) -> None:
    blocks = [module.run("ops_alloc", 1) for _ in range(MANY)]
    check_apart(dict.fromkeys(blocks, ALIGNMENT))
    order = list(blocks)
    random.Random(5).shuffle(order)
    for block in order:
        assert module.run("ops_free", block) == 0
        assert module.run("ops_free", block) != 0
    before = module.memory.size(module.store)
    assert module.run("ops_alloc", (MANY - 1) * ALIGNMENT) == min(blocks)
    assert module.memory.size(module.store) == before


def test_memory_that_others_grow_is_theirs(module: Module) -> None:
    first = module.alloc(100)
    foreign = module.memory.grow(module.store, 3) * PAGE
    second = module.alloc(1 << 21)
    assert first < foreign
    assert second >= foreign + 3 * PAGE
    tensors = [module.tensor([PAGE], data=foreign) for _ in range(2)]
    out = module.tensor([PAGE])
    assert module.call("add_float32", *tensors[:1], tensors[1], out) != 0  # 4 pages
    tensors = [module.tensor([PAGE // 2], data=foreign) for _ in range(2)]
    out = module.tensor([PAGE // 2])
    assert module.call("add_float32", *tensors, out) == 0, module.error()
    assert module.run("ops_free", foreign) != 0


def test_the_runtimes_own_memory_is_refused(module: Module) -> None:
    own = module.run("ops_last_error")
    assert module.call("add_float32", *[module.tensor([1], data=own // 4 * 4)] * 3) == 5
    assert "is in no live block" in module.error()


def test_memory_grows_by_what_the_last_piece_lacks() -> None:
    """A free piece before the last one is no part of it."""
    module, megabyte = Module(library_path("mvp")), 1 << 20
    first, last = module.alloc(megabyte - 64), module.alloc(64)
    assert last == first + megabyte - 64  # the end of what the first one added
    assert module.run("ops_free", first) == 0
    assert module.alloc(2 * megabyte) == last + 64
    assert module.run("ops_free", last) == 0
    assert module.alloc(megabyte) == first


def test_memory_that_runs_out(module: Module) -> None:
    size, blocks = 1 << 30, []
    while block := module.run("ops_alloc", size):
        blocks.append(block & 0xFFFFFFFF)
        assert len(blocks) < 5
    assert "ops_alloc: no memory for 1073741824 bytes; free blocks" in module.error()
    check_apart(dict.fromkeys(blocks, size))
    for block in blocks:
        assert module.run("ops_free", block) == 0
    if blocks:
        assert module.run("ops_alloc", size) & 0xFFFFFFFF == blocks[0]
