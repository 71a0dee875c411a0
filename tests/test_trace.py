"""A traced model: its steps, its counts, its page."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from small_model import IMAGE, SmallModel

from bench.library import Call, Wasmtime
from bench.trace import page
from toolchain.profile import ROOT


def test_steps_of_a_traced_model_run_one_by_one(small: SmallModel) -> None:
    trace = json.loads(small.trace.read_text())
    count = len(trace["steps"])
    host = Wasmtime(small.trace.with_name("net_int8.wasm"))
    arena = np.zeros(trace["arena"], np.uint8)
    none = np.array([0, 0], np.int32)
    outputs = (("float32", (1, 10)),) * 2
    host.prepare(Call("net_int8", (IMAGE, np.array([2]), arena, none), outputs))
    assert not host.results()[0].any()  # nothing has run yet
    for i in range(count):
        host.write(3, np.array([i, i + 1], np.int32))
        host.run(2)  # steps may repeat: none writes where it reads
    for found, wanted in zip(host.results(), small.wanted(2), strict=True):
        assert small.near(found, wanted)


def test_a_trace_counts_operations_and_memory(small: SmallModel) -> None:
    trace = json.loads(small.trace.read_text())
    work = {s["label"]: s["operations"] for s in trace["steps"] if s["operations"]}
    assert {"conv_packed": 2 * 9 * 8 * 144, "matmul_packed": 2 * 288 * 10} == work
    assert trace["lower_bound"] == max(s["live"] for s in trace["steps"])
    ends = [b["offset"] + b["bytes"] for b in trace["blocks"]]
    assert trace["arena"] - 64 < max(ends) <= trace["arena"]


def test_the_page_of_a_trace_stands_alone(small: SmallModel) -> None:
    folder = small.trace.parent
    command = [sys.executable, "-m", "bench.trace", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    text = (folder / "trace.html").read_text()
    trace = json.loads(small.trace.read_text())
    assert page(trace) == text
    assert len(trace["steps"]) == text.count('<tr id="s')
    assert len(trace["blocks"]) == text.count('class="block"')
    edges = {
        (t["from"], i)
        for i, step in enumerate(trace["steps"])
        for t in step["inputs"]
        if isinstance(t["from"], int)
    }
    assert edges
    assert len(edges) == text.count('class="edge"')
    links = text.replace("http://www.w3.org/1999/xhtml", "")
    assert not [w for w in ("http", "src=", "url(", "<script") if w in links]
