"""Options, fixtures and the closing table of the verification."""

from __future__ import annotations

from typing import Any

import pytest
from verification import Worst


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--operator", default="", help="verify this operator alone")
    parser.addoption("--profile-file", default="", help="verify the build of a profile")


@pytest.fixture(scope="session")
def worst(request: pytest.FixtureRequest) -> Worst:
    """Collects the worst error per operator and target."""
    found = Worst()
    request.config.stash[_WORST] = found
    return found


_WORST: pytest.StashKey[Worst] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line per operator and target, with the worst error in ULP."""
    found = config.stash.get(_WORST, None)
    if found is not None:
        terminalreporter.section("worst error per operator and target")
        for line in found.lines():
            terminalreporter.write_line(line)
