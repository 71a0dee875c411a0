"""Random arguments, mostly wrong: every operator returns, none traps or hangs.

Each call comes twice: the second time blocks are known where they were.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import wasmtime
from abi import DTYPES, Arg, integer, none, number

from fuzz import library, targets
from fuzz.calls import Limited

ROUNDS = 10  # calls of an operator
SIZES = (0, 1, 1, 2, 3, 4, 7, 16, -1, 2**31, 2**31 - 1, 2**32 + 1, 2**62)
INTEGERS = (-(2**63), -(2**31), -9, -2, -1, 0, 1, 2, 3, 8, 100, 2**31 - 1, 2**63 - 1)
NUMBERS = (0.0, -0.0, 1.0, -1e30, 1e300, float("inf"), float("nan"))
POINTERS = (0, 4, 8, 64, 65536, 0x7FFFFFFF, 0xFFFFFFFF)


def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
    """Call an operator for each seed, one after the other, on the targets by turns."""
    modules: dict[str, Limited] = {}
    names = targets(build)
    for seed in seeds:
        target = names[seed % len(names)]
        if target not in modules:
            modules[target] = Limited(library(build, target))
        module = modules[target]
        index = seed // len(names) % module.run("ops_count")
        try:
            _rounds(module, index, random.Random(seed))
        except (AssertionError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            del modules[target]  # a trap leaves it as it is
            text = str(error).strip().splitlines()[-1]
            yield seed, f"operator {index} on {target}: {text}"


def _rounds(module: Limited, index: int, rng: random.Random) -> None:
    name, dtypes, attributes = signature(module, index)
    blocks = module.blocks
    for _ in range(ROUNDS):
        kinds = [*dtypes, *([None] * (attributes + rng.choice((0, 0, 1, 2, 4))))]
        args = [random_arg(module, rng, kind) for kind in kinds]
        verb = rng.choice(("ops_call", "ops_call", "ops_infer"))
        call = (verb, index, module.pack(tuple(args)), len(args))
        code = module.run(*call)
        text = module.error()
        assert 0 <= code <= 7, f"code {code}"
        assert code == 0 or text.startswith(name), f"{name}: {text}"
        # What was inferred is written into tensors, which may be inputs too.
        if verb == "ops_call":
            again = (module.run(*call), module.error())
            assert (code, text) == again, f"{name}: {(code, text)}, then {again}"
        module.free_all(blocks)


def signature(module: Limited, index: int) -> tuple[str, list[str], int]:
    """Name, dtypes of the tensors and number of attributes."""
    text = module.text(module.run("ops_signature", index))
    name, rest = text.split("(", 1)
    tensors, *attributes = rest.split("; ")
    return name, re.findall(r"\??(?:\.\.\.)?: (\w+)", tensors), len(attributes)


def random_tensor(module: Limited, rng: random.Random, dtype: str) -> Arg:
    """A tensor that is sound or has some faults."""
    if rng.random() < 0.1:
        dtype = rng.choice(list(DTYPES))
    hostile = rng.random() < 0.3
    sizes = SIZES if hostile else SIZES[:8]
    shape = [rng.choice(sizes) for _ in range(rng.choice((0, 1, 2, 2, 3, 4, 8)))]
    fields = {}
    if hostile:
        field = rng.choice(("ndim", "data", "lanes", "device_type"))
        fields[field] = rng.choice((0, 1, 2, 4, 9, 100))
    strides = (
        [rng.choice((0, 1, -1, 4)) for _ in shape] if rng.random() < 0.05 else None
    )
    return module.tensor(shape, dtype, size=4096, strides=strides, **fields)


def random_arg(module: Limited, rng: random.Random, dtype: str | None) -> Arg:
    """A tensor of that dtype or an attribute, mostly; sometimes anything else."""
    kind = rng.random()
    if dtype is not None and kind < 0.95:
        return random_tensor(module, rng, dtype)
    if kind < 0.5:
        return integer(rng.choice(INTEGERS))
    if kind < 0.7:
        return number(rng.choice(NUMBERS))
    if kind < 0.97:
        return none()
    return module.pointer(rng.choice(POINTERS))
