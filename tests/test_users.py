"""The users of tests/users: how they are judged, and that each is there to be tried."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from users.__main__ import HERE, NOT_HERE, judged, names

from toolchain.profile import ROOT

RIGHT = "softmax 0.1; digit 3"


@pytest.mark.parametrize(
    ("code", "output", "state"),
    [
        (0, f"{RIGHT}\n", "right"),
        (0, f"{RIGHT}\n{RIGHT}\n", "right"),
        (0, "", "wrong"),
        (0, f"{RIGHT}\nsoftmax 0.1; digit 4\n", "wrong"),
        (1, f"{RIGHT}\n", "wrong"),
        (NOT_HERE, "", "not run"),
    ],
)
def test_users_are_judged(code: int, output: str, state: str) -> None:
    done = subprocess.CompletedProcess([], code, output, "why")
    outcome = judged(done, RIGHT, 1.0)
    assert state == outcome.state
    assert (state == "right") == (outcome.reason == "")


def test_scripts_stop_at_errors_and_pin_their_tools() -> None:
    for name in names():
        subprocess.run(["bash", "-n", HERE / f"{name}.sh"], check=True)
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"]
    for version in pinned.values():
        assert re.fullmatch(r"(npm:[\w-]+@)?\d+\.\d+\.\d+", version), version
    said = (ROOT / "docs" / "javascript.md").read_text()
    tools = {"Chromium": "page"}
    for tool in ("Deno", "Bun", "workerd", "TypeScript", "Vite", "esbuild", "Chromium"):
        assert tool in said
        assert tools.get(tool, tool.lower()) in names()
