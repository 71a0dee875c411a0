"""Random arguments, mostly wrong: every operator returns, none traps or hangs.

Each call comes twice: the second time blocks are known where they were.
"""

from __future__ import annotations

import random
import re

import pytest
from abi import DTYPES, Arg, Module, integer, library_path, none, number

from toolchain.targets import TARGETS

ROUNDS = 40
SIZES = (0, 1, 1, 2, 3, 4, 7, 16, -1, 2**31, 2**31 - 1, 2**32 + 1, 2**62)
INTEGERS = (-(2**63), -(2**31), -9, -2, -1, 0, 1, 2, 3, 8, 100, 2**31 - 1, 2**63 - 1)
NUMBERS = (0.0, -0.0, 1.0, -1e30, 1e300, float("inf"), float("nan"))
POINTERS = (0, 4, 8, 64, 65536, 0x7FFFFFFF, 0xFFFFFFFF)


@pytest.fixture(scope="module", params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


def signature(module: Module, index: int) -> tuple[str, list[str], int]:
    """Name, dtypes of the tensors and number of attributes."""
    text = module.text(module.run("ops_signature", index))
    name, rest = text.split("(", 1)
    tensors, *attributes = rest.split("; ")
    return name, re.findall(r"\??(?:\.\.\.)?: (\w+)", tensors), len(attributes)


def random_tensor(module: Module, rng: random.Random, dtype: str) -> Arg:
    """A tensor that may be sound, or wrong in one way or several."""
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


def random_arg(module: Module, rng: random.Random, dtype: str | None) -> Arg:
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


def test_random_arguments_never_trap(module: Module) -> None:
    rng = random.Random(7)
    codes = set()
    for index in range(module.run("ops_count")):
        name, dtypes, attributes = signature(module, index)
        blocks = module.blocks
        for _ in range(ROUNDS):
            kinds = [*dtypes, *([None] * (attributes + rng.choice((0, 0, 1, 2, 4))))]
            args = [random_arg(module, rng, kind) for kind in kinds]
            verb = rng.choice(("ops_call", "ops_call", "ops_infer"))
            call = (verb, index, module.pack(tuple(args)), len(args))
            codes.add(code := module.run(*call))
            assert 0 <= code <= 7
            assert code == 0 or module.error().startswith(name)
            text = module.error()
            # What was inferred is written into tensors, which may be inputs too.
            if verb == "ops_call":
                assert (code, text) == (module.run(*call), module.error())
            module.free_all(blocks)
    assert 0 in codes
    assert len(codes) > 4
