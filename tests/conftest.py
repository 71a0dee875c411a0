"""Options, and the closing table of the verification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from verification import Worst

if TYPE_CHECKING:
    import onnx
    from small_model import SmallModel

_WORST = pytest.StashKey[Worst]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--operator", default="", help="verify this operator alone")
    parser.addoption("--profile-file", default="", help="verify the build of a profile")


class Collector:
    """Gathers what the cells report, from workers too."""

    def __init__(self, worst: Worst) -> None:
        self.worst = worst

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            found: dict[str, Any] = dict(report.user_properties)
            if "ulp" in found:
                self.worst.add(found["operator"], found["target"], found["ulp"])


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_WORST] = Worst()
    config.pluginmanager.register(Collector(config.stash[_WORST]))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """One line per operator and target, with the worst error in ULP."""
    lines = list(config.stash[_WORST].lines())
    if lines:
        terminalreporter.section("worst error per operator and target")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[onnx.ModelProto], Path]:
    """Writes a model to net.onnx; its path."""

    def write(proto: onnx.ModelProto) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """The small model, built in every form."""
    from small_model import SmallModel

    return SmallModel(tmp_path_factory.mktemp("small_model"))
