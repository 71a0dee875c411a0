"""The scorecard's rows hold, and its measures see what they are for."""

from __future__ import annotations

import ast

import pytest
from scorecard import MEASURES, Found, Row, components, lines, row, text


@pytest.mark.parametrize("name", MEASURES)
def test_scorecard(name: str) -> None:
    found = row(name, MEASURES[name])
    assert found.passed, text(found)


def test_a_function_is_measured_without_its_docstring() -> None:
    source = 'def f():\n    """Two\n\n    lines."""\n    return 1\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert 2 == lines(function)


@pytest.mark.parametrize(
    ("numbers", "limits", "passed"),
    [
        ([1, 2, 9], (2, 2, 9), True),
        ([1, 2, 10], (2, 2, 9), False),
        ([3, 3, 3], (2, 9, 9), False),
        ([1, 9, 9], (9, 2, 9), False),
        ([2, 2], (4,), True),
        ([2, 3], (4,), False),
        ([], (0,), True),
    ],
)
def test_figures_are_judged(
    numbers: list[int], limits: tuple[int, ...], passed: bool
) -> None:
    found = [Found(str(i), number) for i, number in enumerate(numbers)]
    assert passed == Row("a", found, limits, {}).passed


def test_an_exception_excuses_its_place_and_must_be_needed() -> None:
    found = [Found("a", 1), Found("b", 7)]
    assert Row("x", found, (9, 9, 5), {"b": "why"}).passed
    assert not Row("x", found, (9, 9, 5), {}).passed
    unneeded = Row("x", found, (9, 9, 5), {"a": "why", "b": "why"})
    assert not unneeded.passed
    assert "needs no exception: a" in text(unneeded)


def test_an_exception_for_a_folder_leaves_it_out_of_all_figures() -> None:
    found = [Found("a", 1), Found("old/b", 7), Found("old/c", 8)]
    row = Row("x", found, (1, 1, 5), {"old/": "why"})
    assert (1, 1, 1) == row.figures
    assert row.passed
    assert not Row("x", [*found, Found("older", 7)], (9, 9, 5), {"old/": "why"}).passed


def test_cycles_are_found() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}
    assert [["a"], ["b", "c"], ["d"]] == sorted(components(graph))
