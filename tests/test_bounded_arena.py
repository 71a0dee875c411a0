"""The arena of bounded sizes: what the manifest says is what the runtime plans."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from abi import runtime_objects
from graph_building import ready
from open_networks import NETWORKS

from bench.library import Call, Wasmtime
from toolchain.abi import FUNCTIONS, MAX_MEMORY
from toolchain.frontends import Given
from toolchain.frontends.graphs import read_graph
from toolchain.graph.arena import GAPS, Arena, arena_bytes
from toolchain.graph.build import Place, build_graph
from toolchain.graph.graph import Graph
from toolchain.graph.passes import optimise
from toolchain.graph.sizes import evaluate
from toolchain.link import link as linking
from toolchain.link.archive import archive
from toolchain.link.clang import compile_c
from toolchain.process.command import run, tool
from toolchain.profile import ROOT
from toolchain.recipe import Net
from toolchain.targets import DEFAULT, TARGETS


def branches(net: Net) -> dict[str, Any]:
    """Values of many sizes that live for different times."""
    x = net.input("x", ("rows", 12))
    rng, open_ends = np.random.default_rng(3), [(x, 12)]
    for _ in range(40):
        (a, width), (b, other) = (
            open_ends[i] for i in rng.integers(len(open_ends), size=2)
        )
        kind = rng.integers(4)
        if kind == 0:
            made = net.op("Concat", a, b, axis=1), width + other
        elif kind == 1:
            features = int(rng.integers(1, 40))
            made = net.dense(a, (width, features)), features
        elif kind == 2:
            made = net.op("Softmax", a), width
        else:
            made = net.op("Add", net.op("Tanh", a), a), width
        open_ends = [*open_ends[-5:], made] if made[1] < 200 else open_ends
    found = [net.op("ReduceSum", value, keepdims=1) for value, _ in open_ends]
    total = net.op("Sum", *(net.op("Reshape", v, shape(net)) for v in found))
    return {"y": (total, (1,))}


def shape(net: Net) -> str:
    return net.constant(np.array([1]))


BOUNDS: dict[str, dict[str, tuple[int, int]]] = {
    "branches": {"rows": (1, 50)},
    "text": {"batch": (1, 3), "length": (1, 21)},
    "image": {"batch": (1, 2), "height": (20, 44), "width": (20, 37)},
}


def graph_of(folder: Path, network: str, bounds: dict[str, Any]) -> Graph:
    net = Net("net")
    build = branches if network == "branches" else NETWORKS[network][0]
    onnx.save(net.model(**build(net)), folder / "net.onnx")
    return read_graph(folder / "net.onnx", Given({}, bounds, {})).graph


def linked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Wasmtime:
    """The model of a folder, in a module that tells its arena."""
    own, library, out = folder / "own.o", folder / "own.a", folder / "own.wasm"
    compile_c(Path(__file__).with_name("arena_of.c"), TARGETS[DEFAULT], own)
    run([*tool("LLVM_AR"), "x", folder / "libnet.a", f"--output={folder}"])
    members = [p for p in folder.glob("*.o") if p != own]
    archive([own, *members], library)
    monkeypatch.setattr(linking, "FUNCTIONS", (*FUNCTIONS, "arena_of"))
    linking.link(library, out, MAX_MEMORY, flat=True)
    return Wasmtime(out)


@pytest.mark.parametrize("network", BOUNDS)
def test_the_manifest_says_what_the_runtime_plans(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(tmp_path, network, BOUNDS[network])
    cache = ROOT / "build" / "cache" / DEFAULT
    place = Place(tmp_path, cache, archive=True, ready=ready(DEFAULT))
    runtime = runtime_objects(DEFAULT)
    found = build_graph(graph, TARGETS[DEFAULT], place, runtime, lambda _: None)
    most = {name: high for name, (_, high) in BOUNDS[network].items()}
    inputs, outputs = (
        [
            (v.dtype, tuple(evaluate(n or 0, most) for n in v.shape or ()))
            for v in values
        ]
        for values in (graph.inputs, graph.outputs)
    )
    zeros = tuple(np.zeros(shape, dtype) for dtype, shape in inputs)
    module = linked(tmp_path, monkeypatch)
    module.prepare(Call("net", zeros, tuple(outputs)))
    planned = module.exports["arena_of"](module.store)
    assert planned == found["memory"]["arena"] > 0
    written = json.loads((tmp_path / "net.manifest.json").read_text())
    assert planned == written["memory"]["arena"]


@pytest.mark.parametrize("network", NETWORKS)
def test_what_follows_from_elements_has_no_arena(network: str, tmp_path: Path) -> None:
    graph = graph_of(tmp_path, network, {})
    graph.sizes = dict.fromkeys(graph.sizes, (1, 20))
    optimise(graph)
    known = network in ("text", "image", "recurrent")
    assert known == (arena_bytes(graph) is not None)


def test_open_sizes_have_no_arena(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "image", {"batch": (1, 4), "height": (8, 64)})
    optimise(graph)
    assert arena_bytes(graph) is None


def test_the_arena_remembers_as_many_gaps_as_the_runtime() -> None:
    header = (ROOT / "runtime_stub" / "graph_arena.h").read_text()
    assert [str(GAPS)] == re.findall(r"OPS_GAPS = (\d+)", header)


def test_the_smallest_gap_that_fits_is_taken() -> None:
    arena = Arena()
    a, b, c, d, e = (arena.take(n) for n in (128, 64, 64, 64, 192))
    arena.give(a, 128)
    arena.give(c, 64)
    assert (c, 512) == (arena.take(64), arena.top)
    arena.give(b, 64)  # joined with a's
    assert (a, 512) == (arena.take(192), arena.top)
    arena.give(e, 192)
    assert (e, d + 64 + 256) == (arena.take(256), arena.top)  # at the end it grows
