"""What memory a call uses: its tensors to their last byte, and workspaces it returns.

A tensor may end where memory ends, so that a byte read or written beyond it traps.
Where a workspace is missing the call says so, keeps nothing and works later.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from abi import Module
from fuzz.calls import Call, shape_of, word, write_call
from linking import link_built
from ops_wasm32.signature import parse_signature
from test_ranks import CALLS as EIGHT_AXES
from test_ranks import Call as Named
from test_ranks import F, bytes_of, floats

from toolchain.spec import kernel_name

MEMORY, PAGE, MEGABYTE = 7, 65536, 1 << 20
PAGES = 3  # that the largest tensor takes
# Rows that lie last or in one group of axes are used where they are.
ROWS: tuple[Named, ...] = (
    *(("reduce_sum", F, (floats(2, 3, 5, 1),), {"axes": [a]}) for a in (2, 3)),
    *(("reduce_sum", F, (floats(6, n),), {"axes": [0]}) for n in (4, 40)),
    ("reduce_sum", F, (floats(2, 3, 2, 5),), {"axes": [1, 2]}),
    ("reduce_sum", F, (floats(3, 2, 1, 5),), {"axes": [0, 2]}),
    *(("cum_sum", F, (floats(3, 4, 5),), {"axis": a}) for a in range(3)),
)
# Windows that overlap much are folded in a workspace.
WINDOWS = tuple(
    ("max_pool", F, (floats(1, 1, *sizes),), {"kernel_shape": taps, "pads": pads * 2})
    for sizes, taps, pads in (
        ((16,), [300], [299]),
        ((8, 4), [100, 100], [99, 99]),
        ((3, 40), [3, 200], [2, 199]),
    )
)
# What stands in for absent inputs fills blocks to the last byte, or a byte of them.
STAND_INS = (
    ("layer_normalization", F, (floats(3, 16), floats(16), None), {"axis": 1}),
    *(
        ("matmul_integer", ("int8", "int8"), (bytes_of(m, 2), bytes_of(2, n), *z), {})
        for m, n in ((1, 64), (9, 17), (64, 1))
        for z in ((None, None), (np.int8(3), None), (None, np.int8(3)))
    ),
)
# Rows and columns about the words and vectors in which bytes are copied.
CALLS = (
    *EIGHT_AXES,
    *ROWS,
    *(("add", F, (floats(3, n), floats(n)), {}) for n in range(1, 34)),
    *(("add", F, (floats(3, n), floats(3, 1)), {}) for n in (1, 7, 500)),
    *(("where", F, (floats(2, n) > 0, floats(n), floats(2, n)), {}) for n in (3, 37)),
    *(("relu", F, (floats(n),), {}) for n in range(1, 34)),
    *(("clip", ("int8",), (bytes_of(n), bytes_of(1), None), {}) for n in (1, 2, 18)),
    *(("concat", F, (floats(2, n), floats(2, 1)), {"axis": 1}) for n in (1, 5, 40)),
    *(("transpose", F, (floats(n, 35),), {}) for n in (1, 3, 33)),
    *(("pad", F, (floats(n, n),), {"pads": [0, 0, 0, 0]}) for n in (1, 5)),
    ("pad", F, (floats(3, 0),), {"pads": [1, 1, 1, 1]}),
    ("pad", F, (floats(2, 3, 4),), {"pads": [1, -1, 2, 0, 2, -1]}),
    *WINDOWS,
    *STAND_INS,
)
# Operators that copy nothing: they need no memory of their own.
PLAIN = {
    *("add", "sub", "clip", "where", "relu", "leaky_relu", "concat", "gather"),
    *("equal_count", "global_average_pool", "batch_normalization"),
}
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CALLS)]


@pytest.fixture(scope="module", params=["mvp", "simd128"])  # others share its C
def path(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A library of these operators, whose memory ends at 4 MiB."""
    names = sorted({name for name, *_ in CALLS})
    kernels = {kernel_name(name, dtypes) for name, dtypes, *_ in CALLS}
    folder = tmp_path_factory.mktemp("room")
    return link_built(folder, names, kernels, request.param, max_memory=4 * MEGABYTE)


def written(path: Path, call: Named) -> tuple[Module, Call]:
    """The call in a new instance, with outputs of the right shape."""
    name, dtypes, inputs, attributes = call
    module = Module(path)
    index = module.find(kernel_name(name, dtypes))
    text = module.text(module.run("ops_signature", index))
    made = write_call(module, parse_signature(text, index), inputs, attributes)
    assert made is not None
    return module, made


def run(module: Module, call: Call) -> int:
    return module.run("ops_call", call.index, call.at, call.count)


def bytes_at(module: Module, head: int) -> tuple[int, int]:
    """Where a tensor's data lies, and how many bytes it has."""
    bits = module.read(head + 17, 1)[0]
    count = int(np.prod(shape_of(module, head), dtype=np.int64))
    return word(module, head), count * bits // 8


def results(module: Module, call: Call) -> list[bytes]:
    return [module.read(at, size) for at, size in outputs(module, call)]


def outputs(module: Module, call: Call) -> list[tuple[int, int]]:
    """Those that have bytes."""
    places = [bytes_at(module, head) for head in call.heads[-len(call.outputs) :]]
    return [(at, size) for at, size in places if size]


def clear(module: Module, call: Call) -> None:
    for at, size in outputs(module, call):
        module.write(at, b"\xa5" * size)


def expected(module: Module, call: Call) -> list[bytes]:
    assert run(module, call) == 0, module.error()
    found = results(module, call)
    clear(module, call)
    return found


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_each_tensor_at_the_end_of_memory(path: Path, call: Named) -> None:
    module, made = written(path, call)
    want = expected(module, made)
    workspaces = module.run("ops_alloc", MEGABYTE)
    assert module.run("ops_free", workspaces) == 0
    module.memory.grow(module.store, PAGES)
    end = module.memory.data_len(module.store)
    for head in made.heads:
        at, size = bytes_at(module, head)
        assert size <= PAGES * PAGE
        if not size:
            continue
        module.write(end - size, module.read(at, size))
        module.write(head, struct.pack("<I", end - size))
        clear(module, made)
        assert run(module, made) == 0, module.error()
        assert results(module, made) == want
        module.write(head, struct.pack("<I", at))
    assert end == module.memory.data_len(module.store)


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_nothing_else_is_written(path: Path, call: Named) -> None:
    module, made = written(path, call)
    written_to = [at for at, _ in outputs(module, made)]
    kept = [block for block in module.live.items() if block[0] not in written_to]
    before = [module.read(at, size) for at, size in kept]
    for _ in range(2):
        assert run(module, made) == 0, module.error()
    assert before == [module.read(at, size) for at, size in kept]
    module.free_all(0)  # each block is still the caller's


def taken(module: Module) -> list[int]:
    """Take all memory, in ever smaller blocks; what they hold is no zero."""
    blocks, size = [], 4 * MEGABYTE
    while size >= 64:
        if block := module.run("ops_alloc", size):
            module.write(block, b"\x7f" * size)
            blocks.append(block)
        else:
            size //= 2
    return blocks


def holes(module: Module) -> Iterator[int]:
    """Take all memory; then give it back, ever larger blocks, one after the other."""
    blocks = taken(module)
    yield 0
    for block in reversed(blocks):
        assert module.run("ops_free", block) == 0
        yield block


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_memory_that_is_missing(path: Path, call: Named) -> None:
    module, made = written(path, call)
    want, codes = expected(module, made), []
    whole = module.run("ops_alloc", 2 * MEGABYTE)
    assert module.run("ops_free", whole) == 0
    for _ in holes(module):
        codes.append(run(module, made))
        assert codes[-1] in (0, MEMORY)
        assert codes[-1] == 0 or "no memory for" in module.error()
        assert codes[-1] or results(module, made) == want
        clear(module, made)
    assert codes[-1] == 0
    assert codes == sorted(codes, reverse=True)
    assert codes[0] == 0 or call[0] not in PLAIN
    assert module.run("ops_alloc", 2 * MEGABYTE) == whole  # nothing is kept


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_workspaces_at_the_end_of_memory(path: Path, call: Named) -> None:
    """They are as large as asked for, rounded up to 64 bytes, and no byte more."""
    module, made = written(path, call)
    want = expected(module, made)
    blocks = sorted(taken(module))
    end, needed = module.memory.data_len(module.store), 0
    while code := run(module, made):
        assert code == MEMORY
        asked = re.search(r"workspace of (\d+) bytes", module.error())
        assert asked
        needed += -(-int(asked[1]) // 64) * 64
        start = end
        while end - start < needed:
            start = blocks.pop()
            assert module.run("ops_free", start) == 0
        if end - start > needed:  # the first that fits, at the start
            blocks.append(module.run("ops_alloc", end - start - needed))
    assert results(module, made) == want


def test_no_workspace_for_rows_in_place(path: Path) -> None:
    for call in ROWS:
        module, made = written(path, call)
        want = expected(module, made)
        assert [next(holes(module)), run(module, made)] == [0, 0], call
        assert results(module, made) == want


def test_no_workspace_for_a_pass_over_nothing(path: Path) -> None:
    module, made = written(path, ("pad", F, (floats(3, 0),), {"pads": [1, 1, 1, 1]}))
    assert [next(holes(module)), run(module, made)] == [0, 0]
    assert results(module, made) == [bytes(4 * 5 * 2)]
