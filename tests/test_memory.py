"""A module that runs out of memory says so, loses nothing and goes on working."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from abi import Arg, Module, integer, none
from linking import link_built

MEMORY = 7
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose memory ends at 1 MiB."""
    folder = tmp_path_factory.mktemp("memory")
    return link_built(
        folder,
        ["add", "matmul", "matmul_integer", "pad", "reduce_sum"],
        max_memory=MEGABYTE,
    )


def fill(module: Module) -> list[int]:
    """Take all memory, in ever smaller blocks."""
    blocks = []
    size = MEGABYTE
    while size >= 64:
        pointer = module.run("ops_alloc", size) & 0xFFFFFFFF
        if pointer:
            blocks.append(pointer)
        else:
            size //= 2
    return blocks


def test_alloc_returns_null_and_names_the_size(path: Path) -> None:
    module = Module(path)
    assert module.run("ops_alloc", 2 * MEGABYTE) == 0
    assert "no memory for 2097152 bytes" in module.error()
    assert module.alloc(1000) % 64 == 0


def matrices(module: Module) -> list[Arg]:
    return [module.tensor([64, 64]) for _ in range(3)]


def test_kernel_without_workspace_fails_and_then_works(path: Path) -> None:
    module = Module(path)
    args = matrices(module)
    index, packed = module.find("matmul_float32"), module.pack(tuple(args))
    blocks = fill(module)
    assert module.run("ops_call", index, packed, 3) == MEMORY
    assert "no memory for the kernel's workspace" in module.error()
    for block in blocks:
        assert module.run("ops_free", block) == 0
    assert module.run("ops_call", index, packed, 3) == 0, module.error()


def test_call_without_workspace_fails_and_then_works(path: Path) -> None:
    module = Module(path)
    # Axes 0 and 2 of three are not one group: the runtime permutes x first.
    x, out = module.tensor([8, 64, 8]), module.tensor([64])
    args = (x, out, integer(0), integer(0), integer(0), integer(2))
    index, packed = module.find("reduce_sum_float32"), module.pack(args)
    blocks = fill(module)
    assert module.run("ops_call", index, packed, len(args)) == MEMORY
    assert "no memory for a workspace of 16384 bytes" in module.error()
    for block in blocks:
        assert module.run("ops_free", block) == 0
    assert module.run("ops_call", index, packed, len(args)) == 0, module.error()


def test_a_pass_over_no_elements_needs_no_workspace(path: Path) -> None:
    """Two columns are cut off from no rows, then a row is added."""
    module = Module(path)
    x, out = module.tensor([0, 5]), module.tensor([1, 3])
    args = (x, out, none(), none(), *map(integer, (1, 0, 0, -2)))
    index, packed = module.find("pad_float32"), module.pack(args)
    fill(module)
    assert module.run("ops_call", index, packed, len(args)) == 0, module.error()


def test_failed_calls_leak_nothing(path: Path) -> None:
    module = Module(path)
    args = module.pack(tuple(matrices(module)))
    index = module.find("matmul_float32")
    spare = module.alloc(200_000)
    blocks = fill(module)
    assert module.run("ops_free", spare) == 0
    for _ in range(50):
        module.run("ops_call", index, args, 3)
    assert module.run("ops_alloc", 200_000) & 0xFFFFFFFF == spare
    assert blocks


def test_random_blocks_never_overlap_nor_lose_their_content(path: Path) -> None:
    module, rng = Module(path), random.Random(3)
    live: dict[int, bytes] = {}
    for step in range(3000):
        if live and rng.random() < 0.45:
            pointer = rng.choice(list(live))
            expected = live.pop(pointer)
            assert expected == module.read(pointer, len(expected))
            assert module.run("ops_free", pointer) == 0
        else:
            size = rng.choice((1, 63, 64, 65, 500, 3000))
            pointer = module.run("ops_alloc", size) & 0xFFFFFFFF
            if not pointer:
                continue
            assert pointer % 64 == 0
            live[pointer] = bytes([step % 256]) * size
            module.write(pointer, live[pointer])
    for pointer, expected in live.items():
        assert expected == module.read(pointer, len(expected))
        assert module.run("ops_free", pointer) == 0
    assert module.run("ops_alloc", MEGABYTE // 2) != 0


def test_the_second_of_two_workspaces_is_missing(path: Path) -> None:
    module = Module(path)
    shapes: list[list[int]] = [[9, 2], [2, 9], [], []]
    args = [module.tensor(s, "int8") for s in shapes]
    args.append(module.tensor([9, 9], "int32"))
    call = (module.find("matmul_integer_int8_int8"), module.pack(tuple(args)), 5)
    places = [module.alloc(64) for _ in range(2)]
    fill(module)
    for free in (0, 1):
        for place in places[:free]:
            assert module.run("ops_free", place) == 0
        assert module.run("ops_call", *call) == MEMORY
        assert "no memory for a workspace of 9 bytes" in module.error()
    assert module.alloc(64) == places[0]


def test_a_table_that_cannot_grow(path: Path) -> None:
    """Its 2048 entries are full, and all memory is taken: no block more."""
    module = Module(path)
    blocks = fill(module)
    assert module.run("ops_free", blocks.pop(0)) == 0  # half of the memory
    while block := module.run("ops_alloc", 1):
        blocks.append(block)
    assert 2000 < len(blocks) < 2048
    assert "no memory for 1 bytes" in module.error()
    assert len(blocks) == len(set(blocks))
    for block in blocks:
        assert module.run("ops_free", block) == 0
    args = matrices(module)
    assert module.call("matmul_float32", *args) == 0, module.error()
