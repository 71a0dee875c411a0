"""Models that grow while they are read: nesting, functions, chains, constants."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_files import Save, info, model, node, operators, refused

from toolchain.frontends import importer, read_model
from toolchain.model.build import Options, read_program
from toolchain.process.confined import Limits, run
from toolchain.targets import TARGETS


def nested(depth: int) -> onnx.ModelProto:
    inner = helper.make_graph([node("Relu", "x")], "b", [], [info("y", None)])
    other = helper.make_graph([node("Neg", "x")], "e", [], [info("y", None)])
    for _ in range(depth):
        choice = node("If", "c", then_branch=inner, else_branch=other)
        inner = helper.make_graph([choice], "b", [], [info("y", None)])
    return model(list(inner.node), weights={"c": np.array(True)})


def test_deep_nesting(save: Save) -> None:
    assert ["nn.relu"] == operators(read_model(save(nested(20)), {}))


def test_nesting_that_is_too_deep(tmp_path: Path) -> None:
    """Written by hand: a graph in a node in a graph, 1000 times."""

    def field(number: int, data: bytes) -> bytes:
        size, length = b"", len(data)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + data

    graph = b""
    for _ in range(1000):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, its graph
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph))
    assert "nests graphs more than 30 deep" in refused(path)


def test_functions_that_grow(save: Save) -> None:
    """Each function calls the next twice: 2^22 nodes."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    proto = model([node("F22", "x", domain="own")])
    for i in range(23):
        calls = [
            helper.make_node(f"F{i - 1}", ["a"], ["t"], domain="own"),
            helper.make_node(f"F{i - 1}", ["t"], ["b"], domain="own"),
        ]
        body = calls if i else [helper.make_node("Relu", ["a"], ["b"])]
        f = helper.make_function("own", f"F{i}", ["a"], ["b"], body, imports)
        proto.functions.append(f)
    assert "the model has 4194304 nodes" in refused(save(proto))
    proto.functions[0].node[0].CopyFrom(calls[0])
    assert "calls itself" in refused(save(proto))


def test_100_000_nodes(save: Save) -> None:
    names = ["x", *(f"v{i}" for i in range(99_999)), "y"]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
    assert "the model has 100000 nodes, more than the" in refused(save(model(nodes)))


@pytest.mark.parametrize("kinds", [("Relu", "Neg"), ("Add",)])
def test_long_chains_of_functions(kinds: tuple[str, ...], save: Save) -> None:
    """Nested lets, and what is read twice, must not take TVM for ever."""
    names = ["x", *(f"v{i}" for i in range(39)), "y"]
    nodes = [
        helper.make_node(kind, [a] * (2 if kind == "Add" else 1), [b])
        for a, b, kind in zip(names, names[1:], itertools.cycle(kinds), strict=False)
    ]
    path = save(model(nodes, outputs=[info("y")]))

    def compile_kernels() -> int:
        program = read_program(path, Options("simd128"), lambda _: None)
        kernels = [n.attributes["kernel"] for n in program.graph.nodes]
        return sum(len(k.texts(TARGETS["simd128"])) for k in kernels)

    assert run("chain", compile_kernels, Limits(120, 8 << 30))


def test_constants_that_grow(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "CONSTANTS", 1 << 20)
    nodes = [
        helper.make_node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=0)
        for i in range(40)
    ]
    nodes.append(node("Add", "x", "v40"))
    text = refused(save(model(nodes, weights={"v0": np.ones(4, "float32")})))
    assert "all such results take over 1 MiB and 8 times the weights" in text
