"""A traced model of any size: its steps, their shapes and times, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from open_networks import network

from bench.trace import page
from toolchain.profile import full_profile
from toolchain.spec import SpecError
from toolchain.tasks import model_files, traces
from toolchain.tasks.library import current_objects


@pytest.fixture(autouse=True)
def objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the build, looked for once."""
    found = current_objects(full_profile(), "simd128")
    monkeypatch.setattr(traces, "current_objects", lambda *_: found)


def traced(folder: Path, name: str, at: list[str], **options: Any) -> dict[str, Any]:
    """The trace of a network of open_networks, drawn."""
    onnx.save(network(name), folder / f"{name}.onnx")
    given = {"shape": [], "dim": [], "value": [], "timeout": 600.0, "winograd": False}
    file = str(folder / f"{name}.onnx")
    traces.trace_file(file, "simd128", str(folder), at, **(given | options))
    found: dict[str, Any] = json.loads((folder / "trace.json").read_text())
    assert page(found) == (folder / "trace.html").read_text()
    return found


def test_each_step_has_its_node_time_and_shapes(tmp_path: Path) -> None:
    trace = traced(tmp_path, "text", ["batch=2", "length=5"])
    steps = trace["steps"]
    assert len(steps) == len(trace["seconds"])
    work = {s["label"]: s["operations"] for s in steps if s["operations"]}
    # Of q k^T and of the shares times v: 2 * batch * heads * length * length * size.
    packed, plain = 2 * 2 * 5 * 32 * 32, 2 * 2 * 4 * 5 * 5 * 8
    assert {"matmul_packed": packed, "matmul": plain} == work
    (softmax,) = (s for s in steps if s["label"] == "softmax")
    assert [[2, 4, 5, 5]] == [t["shape"] for t in softmax["outputs"]]
    assert "softmax_" in softmax["node"]
    assert softmax["inputs"][0]["from"] < steps.index(softmax)
    assert sum(trace["seconds"]) < 2 * trace["whole"]
    longest = max(zip(trace["seconds"], steps, strict=True), key=lambda p: p[0])
    assert longest[0] > 1e-7
    assert trace["lower_bound"] <= trace["arena"]
    text = (tmp_path / "trace.html").read_text()
    assert len(steps) == text.count('<tr id="s')
    assert "text, simd128, batch 2, length 5" in text


def test_loops_are_steps_of_their_own(tmp_path: Path) -> None:
    trace = traced(tmp_path, "looped", [], dim=["rows=1..3"])
    assert {"rows": 3} == trace["at"]
    (loop,) = (i for i, s in enumerate(trace["steps"]) if s["label"] == "graph.loop")
    assert trace["seconds"][loop] > 1e-7


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ([], "batch, length may have any size; say which to time it at, as in --at"),
        (["batch=1"], "length may have any size; say which to time it at, as in --at"),
        (["n=1"], "no open size is named 'n' (--at); names: batch, length"),
        (["batch=x"], "--at 'batch=x' is no size; use a name, as in --at seq=128"),
        (["batch=9", "length=4"], "--at batch=9: it is from 1 to 8"),
    ],
)
def test_mistakes_are_named(at: list[str], text: str, tmp_path: Path) -> None:
    dims = ["batch=1..8"] if "batch=9" in at else []
    with pytest.raises(SpecError) as caught:
        traced(tmp_path, "text", at, dim=dims)
    assert text in str(caught.value)


def test_traced_and_compiled_by_the_same_options() -> None:
    options = {o["name"] for o in model_files.OPTIONS}
    assert {"at", *options} == {o["name"] for o in traces.trace_task([])["params"]}
