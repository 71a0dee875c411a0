"""Refused calls of each path to canonical sizes, with their texts to the letter.

tests/error_texts.txt has them: a call on one line, then its code and text.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from abi import Arg, Module, integer, library_path, none

from toolchain.targets import TARGETS

LINES = Path(__file__).with_name("error_texts.txt").read_text().splitlines()
CASES = list(zip(LINES[::2], LINES[1::2], strict=True))
# In place, with the same elements: only element by element.
IN_PLACE = (
    "batch_normalization_float32 X[2,2] B[2] B[2] B[2] B[2] X[2,2] none",
    "concat_float32 X[4] X[4] 0",
    "gather_float32_int32 X[2] I[2] X[2] 0",
    "matmul_float32 X[2,2] B[2,2] X[2,2]",
    "matmul_float32 B[2,2] X[2,2] X[2,2]",
    "pad_float32 X[2,2] X[2,2] none none 0 0 0 0",
    "softmax_float32 X[2,2] X[2,2] 1",
    "transpose_float32 X[2,2] X[2,2]",
    "conv_float32 X[1,1,2,2] B[1,1,1,1] none X[1,1,2,2] none",
)


@pytest.fixture(scope="module", params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


def argument(module: Module, word: str) -> Arg:
    """An argument: none, an int, or a tensor such as float32[2,3]."""
    if word == "none":
        return none()
    if tensor := re.fullmatch(r"([a-z]+\d*)\[(.*)\]", word):
        sizes = [int(n) for n in tensor[2].split(",") if n]
        return module.tensor(sizes, tensor[1])
    return integer(int(word))


@pytest.mark.parametrize(("call", "answer"), CASES, ids=[c for c, _ in CASES])
def test_a_refused_call(module: Module, call: str, answer: str) -> None:
    name, *words = call.split()
    code, text = answer.strip().split(" ", 1)
    args = [argument(module, word) for word in words]
    assert module.call(name, *args) == int(code)
    assert module.error() == f"{name}: {text}"


@pytest.mark.parametrize("call", IN_PLACE, ids=[c.split()[0] for c in IN_PLACE])
def test_in_place(module: Module, call: str) -> None:
    name, *words = call.split()
    data = module.alloc(64)

    def argument_of(word: str) -> Arg:
        kind, sizes = word[0], word[1:].strip("[]")
        if kind not in "XBI":
            return none() if word == "none" else integer(int(word))
        shape = [int(n) for n in sizes.split(",")]
        dtype = "int32" if kind == "I" else "float32"
        tensor = module.tensor(shape, dtype, data=data if kind == "X" else None)
        return tensor

    assert module.call(name, *map(argument_of, words)) == 5
    assert "overlaps data of" in module.error()
