"""Sizes: arithmetic of expressions against the same arithmetic of numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from toolchain.graph.size_texts import parse
from toolchain.graph.sizes import (
    Size,
    at_least,
    bounds,
    ceil_div,
    equal,
    evaluate,
    floor_div,
    maximum,
    minimum,
    named,
    remainder,
)
from toolchain.spec import SpecError

SEQ, BATCH, WIDTH = named("seq", 1, 512), named("batch"), named("width")
KNOWN = {"seq": SEQ, "batch": BATCH, "width": WIDTH}
OPERATIONS: dict[str, Callable[[Size, Size], Size]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": floor_div,
    "%": remainder,
    "min": minimum,
    "max": maximum,
}


def grown(rng: random.Random, depth: int) -> tuple[Size, str]:
    """A random size, and the same as a text without any simplification."""
    if depth == 0:
        name = rng.choice([*KNOWN, str(rng.randint(-3, 9))])
        return KNOWN.get(name) or int(name), f"({name})"
    operation = rng.choice(list(OPERATIONS))
    a, left = grown(rng, depth - 1)
    b, right = grown(rng, rng.randint(0, depth - 1))
    if operation in ("//", "%") and bounds(b)[0] <= 0:
        b, right = maximum(b, 1), f"max({right}, 1)"
    if operation in ("min", "max"):
        return OPERATIONS[operation](a, b), f"{operation}({left}, {right})"
    return OPERATIONS[operation](a, b), f"({left} {operation} {right})"


def test_expressions_are_what_their_arithmetic_says() -> None:
    rng = random.Random(5)
    for _ in range(1000):
        size, plain = grown(rng, rng.randint(1, 4))
        again = parse(str(size), KNOWN)
        assert again == size, plain
        low, high = bounds(size)
        for _ in range(4):
            names = {
                "seq": rng.choice([1, 2, rng.randint(1, 512)]),
                "batch": rng.choice([0, 1, rng.randint(0, 99)]),
                "width": rng.choice([0, 1, rng.randint(0, 99)]),
            }
            want = eval(plain, {}, names)
            assert evaluate(size, names) == want, (plain, str(size), names)
            assert eval(str(size), {}, names) == want, str(size)
            assert low <= want <= high, (str(size), low, high, names)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2 * SEQ + 1, "2*seq + 1"),
        (SEQ - SEQ, "0"),
        ((SEQ * BATCH * 12) // (BATCH * 12), "seq"),
        ((2 * SEQ + 4) // 2, "seq + 2"),
        (3 * ((SEQ + 1) // 2), "3*((seq + 1)//2)"),
        (((SEQ - 1) // 2 + 1 - 1) // 2 + 1, "(seq + 3)//4"),
        ((SEQ + 1) * (SEQ + 1) // (SEQ + 1), "seq + 1"),
        (BATCH * SEQ * WIDTH // (4 * BATCH * SEQ), "width//4"),
        ((6 * SEQ + 2) // 4, "(3*seq + 1)//2"),
        ((6 * SEQ + 2) % 4, "2*((3*seq + 1)%2)"),
        (BATCH * SEQ % (BATCH * WIDTH), "batch*(seq%width)"),
        (minimum(SEQ, 512), "seq"),
        (minimum(SEQ, minimum(100, BATCH)), "min(100, batch, seq)"),
        (maximum(0, SEQ - 1), "seq - 1"),
        ((8 * SEQ + 11) % 8, "3"),
        (-SEQ, "-seq"),
        (-(SEQ // 2), "-(seq//2)"),
        (ceil_div(SEQ, 8) * 8, "8*((seq + 7)//8)"),
        (SEQ % 8 // 8, "0"),
    ],
)
def test_texts(size: Size, text: str) -> None:
    assert str(size) == text


def test_comparisons() -> None:
    assert equal(2 * SEQ, SEQ + SEQ) is True
    assert equal(SEQ, 0) is False
    assert equal(SEQ, BATCH) is None
    assert equal(SEQ, SEQ + BATCH + 1) is False
    assert at_least(SEQ, 1) is True
    assert at_least(SEQ, 600) is False
    assert at_least(SEQ, BATCH) is None


def test_names_of_one_size_are_that_number() -> None:
    assert named("seq", 7, 7) == 7


@pytest.mark.parametrize("name", ["", "a b", "1x", "min", "for", "?"])
def test_names_that_no_text_could_hold(name: str) -> None:
    with pytest.raises(SpecError, match="a size may not be called"):
        named(name)


@pytest.mark.parametrize("text", ["", "seq +", "seq / 2", "f(seq)", "True", "seq // 0"])
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(SpecError, match="is no size; use whole numbers"):
        parse(text, KNOWN)
