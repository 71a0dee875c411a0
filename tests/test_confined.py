"""A process of its own: what becomes of hangs, crashes, memory and mistakes in it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from toolchain.frontends import OpenSizesError
from toolchain.process.confined import Limits, at, run, short
from toolchain.spec import SpecError

LIMITS = Limits(20.0, 1 << 30)


def test_result_comes_back() -> None:
    data = np.arange(1 << 20)
    first, second = run("x", lambda: [data, data], LIMITS)
    assert (first == data).all()
    assert first is second


def test_our_errors_come_as_they_are() -> None:
    def fail() -> None:
        raise OpenSizesError("x is open", ["--dim", "x=1"])

    with pytest.raises(OpenSizesError, match="x is open") as found:
        run("x", fail, LIMITS)
    assert ["--dim", "x=1"] == found.value.options
    with pytest.raises(FileNotFoundError):
        run("x", lambda: open("/nowhere"), LIMITS)  # noqa: SIM115  # it fails


def hang() -> None:
    at("Sleep, node n")
    time.sleep(60)


def crash() -> None:
    at("Crash, node n")
    os.kill(os.getpid(), signal.SIGSEGV)


def abort() -> None:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def grow() -> Any:
    at("Grow, node n")
    return np.ones(1 << 30)


def nest() -> None:
    nest()


def fail() -> None:
    {"a": 1}["callee"]  # it fails


@pytest.mark.parametrize(
    ("action", "texts"),
    [
        (hang, ["f: Sleep, node n: took longer than 0.5 s", "--timeout 1"]),
        (crash, ["f: Crash, node n: the compiler ended with SIGSEGV"]),
        (abort, ["needs more than 1.0 GiB of memory"]),
        (grow, ["f: Grow, node n: needs more than 1.0 GiB of memory"]),
        (nest, ["is nested too deep"]),
        (
            fail,
            [
                "cannot be compiled: KeyError (",
                " > test_confined.py:",
                "said: 'callee'",
            ],
        ),
    ],
)
def test_ends_are_named(action: Callable[[], Any], texts: list[str]) -> None:
    seconds = 0.5 if action is hang else 20.0
    with pytest.raises(SpecError) as found:
        run("f", action, Limits(seconds, 1 << 30))
    for text in texts:
        assert text in str(found.value)


def test_long_and_odd_names_are_printable() -> None:
    def fail() -> None:
        raise SpecError("x" * 9999 + "\n\x1b[2Jname\0\u202e\n" + "line\n" * 999)

    with pytest.raises(SpecError) as found:
        run("f", fail, LIMITS)
    text = str(found.value)
    assert len(text) < 2000
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "\\x1b[2Jname\\x00\\u202e" in text


def test_what_tvm_says_is_one_line() -> None:
    operator = 'In ir.Op(span=None, name="relax.add", arguments=(), support_level=10)'
    said = f'Traceback:\n  File "a.cc", line 1\n{operator}, size T.int64(4)'
    assert "relax.add: size 4" == short(said)
    assert 300 == len(short("y" * 1000))
