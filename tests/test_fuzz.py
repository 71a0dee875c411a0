"""A few cases of each kind of `doit fuzz`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from abi import BUILD
from fuzz import __main__ as program

COUNTS = {
    "arguments": 800,
    "calls": 60,
    "values": 100,
    "allocator": 4,
    "files": 6,
    "models": 4,
    "kills": 1,
}


@pytest.mark.parametrize("kind", list(program.KINDS))
def test_a_few_cases_hold(kind: str) -> None:
    run, _ = program.KINDS[kind]
    assert list(run(range(1, 1 + COUNTS[kind]), BUILD)) == []


def test_a_case_that_fails_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(seeds: Iterable[int], build: Path) -> Iterator[tuple[int, str]]:
        yield from ((seed, "wrong") for seed in seeds if seed % 2)

    monkeypatch.setitem(program.KINDS, "calls", (run, 4))
    assert program.fuzz("calls", 7, 0, BUILD) == 2
    printed = capsys.readouterr().out
    assert "FAILED calls 9: wrong" in printed
    assert "doit fuzz --kind calls --seed 9 --count 1" in printed
    assert "calls: 4 tried, 2 failed" in printed
