"""Calls with one to three things wrong: each returns, and writes its outputs alone."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime
from abi import ANY_BYTES, TENSOR, TENSOR_BYTES, Arg, Module, integer, none, number
from ops_wasm32.binding import bind
from ops_wasm32.signature import Signature, parse_signature

from fuzz import library, targets
from fuzz.valid import valid_cell

MUTANTS = 30  # of each valid call
FUEL = 2_000_000_000  # instructions: a second or two
MAX_RANK = 8
SIZES = (0, 1, -1, 2, 3, 8, 65536, 2**20, 2**31 - 1, 2**31, 2**32, 2**62, -(2**63))
WORDS = (0, 1, 2, 3, 6, 7, 8, 9, 16, 64, 255, 256, 2**31 - 1, 2**31, 2**32 - 1)
INTEGERS = (*SIZES, 7, -8, 100, -(2**31), 2**63 - 1, 2**29, 2**30)
NUMBERS = (0.0, -0.0, 1.0, -1e30, 1e300, float("inf"), float("-inf"), float("nan"))
# Offsets of the fields of a DLTensor that one word fills.
FIELDS = (0, 4, 8, 12, 16, 20, 24, 32)


class Limited(Module):
    """A module whose calls end, and that takes pointers as they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, FUEL)

    def run(self, name: str, *args: Any) -> int:
        return super().run(name, *map(_signed, args))


@dataclass
class Call:
    """A call in memory. heads, shapes: where its tensors' are. outputs: which are.

    place, size: of the arguments as they were written.
    """

    index: int
    at: int
    count: int
    place: int
    size: int
    heads: list[int]
    shapes: list[int]
    outputs: range


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Try a valid call and its mutants for each seed, on the targets by turns."""
    modules: dict[str, Limited] = {}
    names = targets(build)
    for seed in seeds:
        target = names[seed % len(names)]
        if target not in modules:
            modules[target] = Limited(library(build, target))
        try:
            _try(modules[target], seed)
        except (AssertionError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            del modules[target]  # a trap leaves it as it is
            text = str(error).strip().splitlines()[-1]
            yield seed, f"{valid_cell(seed).kernel} on {target}: {text}"


def _try(module: Limited, seed: int) -> None:
    rng, cell = random.Random(seed), valid_cell(seed)
    blocks = module.blocks
    index = module.find(cell.kernel)
    if index < 0:
        return  # the build of a profile has fewer
    signature = parse_signature(module.text(module.run("ops_signature", index)), index)
    inputs, attributes = cell.case.inputs, dict(cell.case.attributes)
    call = write_call(module, signature, inputs, attributes)
    if call is None:
        return
    code = module.run("ops_call", call.index, call.at, call.count)
    divided = "divi" in module.error()
    assert not code or divided, f"a valid call is refused: {module.error()}"
    saved = _blocks(module)
    for _ in range(MUTANTS):
        changed = _mutate(module, rng, call)
        _made(module, changed)
        for at, data in saved.items():
            module.write(at, data)
    module.free_all(blocks)


def write_call(
    module: Module, signature: Signature, inputs: Any, attributes: dict[str, Any]
) -> Call | None:
    """Put a call into memory, with outputs as ops_infer has them."""
    bound = bind(signature.name, [signature], inputs, attributes)
    args = [none() if x is None else _tensor(module, x) for x in bound.inputs]
    first = len(args)
    for param in bound.outputs:
        args.append(module.tensor([0] * MAX_RANK, param.dtype, size=1))
    args += [
        none() if v is None else integer(v) if isinstance(v, int) else number(v)
        for v in bound.attributes
    ]
    at, count = module.pack(tuple(args)), len(args)
    code = module.run("ops_infer", signature.index, at, count)
    assert not code, f"ops_infer refuses a valid call: {module.error()}"
    for i, param in enumerate(bound.outputs):
        head = _head(args[first + i])
        shape = shape_of(module, head)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(param.dtype).itemsize
        if size > 1 << 20:
            return None
        module.write(head, struct.pack("<I", module.alloc(max(size, 1))))
    heads = [_head(a) for a in args if a.kind == TENSOR]
    shapes = [word(module, head + 20) for head in heads]
    outputs = range(first, first + len(bound.outputs))
    return Call(signature.index, at, count, at, count, heads, shapes, outputs)


def _tensor(module: Module, x: Any) -> Arg:
    data = module.store_bytes(x.tobytes())
    return module.tensor(list(x.shape), x.dtype.name, data=data)


def _head(arg: Arg) -> int:
    return int.from_bytes(arg.value[:4], "little")


def word(module: Module, at: int) -> int:
    return int.from_bytes(module.read(at, 4), "little")


def shape_of(module: Module, head: int) -> tuple[int, ...]:
    rank, at = word(module, head + 12), word(module, head + 20)
    return struct.unpack(f"<{rank}q", module.read(at, 8 * rank))


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


# Mutants


def _mutate(module: Module, rng: random.Random, call: Call) -> Call:
    """Change one to three things in memory, or in what is called."""
    changed = Call(**vars(call))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(FAULTS)(module, rng, changed)
    return changed


def _argument(module: Module, rng: random.Random, call: Call) -> None:
    at = call.place + ANY_BYTES * rng.randrange(call.size)
    if rng.random() < 0.2:
        module.write(at, struct.pack("<I", rng.choice(WORDS)))
    elif rng.random() < 0.2:
        module.write(at + 8, struct.pack("<d", rng.choice(NUMBERS)))
    else:
        module.write(at + 8, struct.pack("<q", rng.choice(INTEGERS)))


def _field(module: Module, rng: random.Random, call: Call) -> None:
    if call.heads:
        at = rng.choice(call.heads) + rng.choice(FIELDS)
        module.write(at, struct.pack("<I", _value(module, rng, call)))


def _size(module: Module, rng: random.Random, call: Call) -> None:
    if call.shapes:
        at = rng.choice(call.shapes) + 8 * rng.randrange(4)
        # Shapes have a block of their own, of a multiple of 64 bytes.
        module.write(at, struct.pack("<q", rng.choice(SIZES)))


def _overlap(module: Module, rng: random.Random, call: Call) -> None:
    if len(call.heads) > 1:
        one, other = rng.sample(call.heads, 2)
        start = word(module, other) + rng.choice((0, 0, 4, 8, 64, -4, -8, -64, 1))
        module.write(one, struct.pack("<I", start & 0xFFFFFFFF))


def _called(module: Module, rng: random.Random, call: Call) -> None:
    what = rng.randrange(3)
    if what == 0:
        call.index = rng.choice((-1, 0, 2**31 - 1, rng.randrange(400)))
    elif what == 1:
        call.count = rng.choice((0, -1, call.count + 1, call.count - 1, 2**31 - 1, 64))
    else:
        call.at = _value(module, rng, call)
    call.outputs = range(0)  # which are outputs is open


FAULTS = (_argument, _argument, _field, _field, _size, _size, _overlap, _called)


def _value(module: Module, rng: random.Random, call: Call) -> int:
    """A pointer, right or wrong, or a number."""
    known = [*call.heads, *call.shapes, call.at, *module.live]
    if known and rng.random() < 0.5:
        return (rng.choice(known) + rng.choice((0, 0, 1, 8, 64, -8))) & 0xFFFFFFFF
    if rng.random() < 0.3:
        return int(module.memory.data_len(module.store)) - rng.choice((0, 4, 8, 64))
    return rng.choice(WORDS)


# What must hold


def _made(module: Limited, call: Call) -> None:
    """Make a call: a code, and no byte changed outside of what it may write."""
    before = _blocks(module)
    allowed = _ranges(module, call)
    code = module.run("ops_call", call.index, call.at, call.count)
    assert 0 <= code <= 7, f"code {code}"
    assert not code or module.error(), f"code {code} without a text"
    for at, data in before.items():
        found = module.read(at, len(data))
        if found != data:
            places = [at + i for i, b in enumerate(data) if found[i] != b]
            outside = [
                p for p in places if not any(low <= p < high for low, high in allowed)
            ]
            assert not outside, f"byte {outside[0]} is overwritten, code {code}"


def _blocks(module: Module) -> dict[int, bytes]:
    """What each block that is alive holds."""
    return {at: module.read(at, size) for at, size in module.live.items()}


def _ranges(module: Module, call: Call) -> list[tuple[int, int]]:
    """Bytes of the tensors that a call may write, as its arguments say."""
    found = []
    limit = module.memory.data_len(module.store)
    indices = call.outputs or range(min(max(call.count, 0), 200))
    for i in indices:
        at = (call.at & 0xFFFFFFFF) + ANY_BYTES * i
        if at + ANY_BYTES > limit or word(module, at) != TENSOR:
            continue
        head = word(module, at + 8)
        if head + TENSOR_BYTES > limit:
            continue
        data, rank, bits = (word(module, head + k) for k in (0, 12, 16))
        offset = int.from_bytes(module.read(head + 32, 8), "little")
        shape_at = word(module, head + 20)
        if rank > MAX_RANK or shape_at + 8 * rank > limit:
            continue
        size = int(np.prod([max(n, 0) for n in shape_of(module, head)], dtype=object))
        start = data + offset
        found.append((start, start + size * (bits >> 8 & 255) // 8))
    return found
