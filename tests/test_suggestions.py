"""What errors advise for open sizes and for inputs that must be constants works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from toolchain.frontends import dims_of, read_model, shapes_of, values_of
from toolchain.frontends.suggestions import sizes_by_name
from toolchain.spec import SpecError

Sizes = Sequence[int | str | None]
KINDS = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}
ROUNDS = 3  # errors until a file is read, one for each input of a node at most


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[str, Sizes | None]],
    weights: Mapping[str, ArrayLike] | None = None,
) -> onnx.ModelProto:
    """A model of nodes whose output is y. inputs: kind and sizes by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, KINDS[k], s) for n, (k, s) in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def node(
    kind: str, *inputs: str, outputs: str = "y", **attributes: Any
) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), outputs.split(), **attributes)


X = {"x": ("f", (4, 6))}


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Tanh", ["h"], ["h2"]),
            helper.make_node("Identity", ["c"], ["c2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [4, 6]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h2", TensorProto.FLOAT, [4, 6]),
        ],
    )
    return model(
        [node("Loop", "n", "t", "x", body=body)],
        {**X, "n": ("i", ()), "t": ("b", ())},
    )


def branch() -> onnx.ModelProto:
    bodies = [
        helper.make_graph(
            [helper.make_node(kind, ["x"], ["z"])],
            kind,
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [4, 6])],
        )
        for kind in ("Tanh", "Relu")
    ]
    made = node("If", "c", then_branch=bodies[0], else_branch=bodies[1])
    return model([made], {**X, "c": ("b", (1,))})


W = np.ones
SETTINGS = {
    "reshape": model([node("Reshape", "x", "s")], X | {"s": ("i", (3,))}),
    "reshape to one axis": model([node("Reshape", "x", "s")], X | {"s": ("i", (1,))}),
    "expand": model([node("Expand", "x", "s")], X | {"s": ("i", (3,))}),
    "tile": model([node("Tile", "x", "s")], X | {"s": ("i", (2,))}),
    "unsqueeze": model([node("Unsqueeze", "x", "s")], X | {"s": ("i", (2,))}),
    "squeeze": model(
        [node("Squeeze", "x", "s")], {"x": ("f", (4, 1, 6, 1)), "s": ("i", (2,))}
    ),
    "split": model(
        [node("Split", "x", "s", outputs="y z", axis=1)], X | {"s": ("i", (2,))}
    ),
    "slice": model(
        [node("Slice", "x", "s", "e", "a")],
        X | dict.fromkeys("sea", ("i", (2,))),
    ),
    "reduce": model([node("ReduceSum", "x", "s")], X | {"s": ("i", (2,))}),
    "pad": model([node("Pad", "x", "s")], X | {"s": ("i", (4,))}),
    "fill": model([node("ConstantOfShape", "s")], {"s": ("i", (2,))}),
    "resize": model(
        [node("Resize", "x", "", "s")],
        {"x": ("f", (1, 2, 4, 6)), "s": ("f", (4,))},
    ),
    "range": model(
        [node("Range", "a", "b", "c", outputs="r"), node("Cast", "r", to=1)],
        dict.fromkeys("abc", ("i", ())),
    ),
    "through nodes": model(
        [node("Concat", "a", "b", outputs="s", axis=0), node("Expand", "x", "s")],
        X | {"a": ("i", (1,)), "b": ("i", (1,))},
    ),
    "loop": loop(),
    "if": branch(),
}
OPEN = {
    "expression": model(
        [node("Concat", "x", "one", outputs="z", axis=1), node("Add", "z", "m")],
        {"x": ("f", ("batch", "n")), "m": ("f", ("batch", "n + 1"))},
        {"one": W((1, 1), "f")},
    ),
    "less by two": model(
        [node("Slice", "x", "two", "end", "axis", outputs="z"), node("Add", "z", "m")],
        {"x": ("f", (1, "n")), "m": ("f", (1, "n - 2"))},
        {"two": [2], "end": [9999], "axis": [1]},
    ),
    "channels": model(
        [node("Conv", "x", "w", pads=[1, 1, 1, 1])],
        {"x": ("f", (None, None, None, None))},
        {"w": W((8, 3, 3, 3), "f")},
    ),
    "named channels": model(
        [node("Conv", "x", "w")],
        {"x": ("f", ("n", "c", "h", "w_"))},
        {"w": W((8, 5, 3, 3), "f")},
    ),
    "features": model(
        [node("MatMul", "x", "w")], {"x": ("f", (None, None))}, {"w": W((7, 3), "f")}
    ),
    "gemm": model(
        [node("Gemm", "x", "w", transB=1)],
        {"x": ("f", ("b", "k"))},
        {"w": W((3, 9), "f")},
    ),
    "a name in two": model(
        [node("Add", "x", "z")],
        {"x": ("f", ("len", None)), "z": ("f", ("len", 1))},
    ),
    "sizes and constants": model(
        [node("Reshape", "x", "s")], {"x": ("f", ("n", 4)), "s": ("i", (2,))}
    ),
}


def advised(text: str) -> list[str]:
    """The options in an error."""
    found = []
    for line in text.splitlines():
        if start := re.search(r"--(shape|dim|value) ", line):
            words = shlex.split(line[start.start() :])
            for option, value in zip(words[::2], words[1::2], strict=False):
                found += [option, value] if option.startswith("--") else []
    return found


def refusal(path: Path, given: Mapping[str, list[str]]) -> str:
    """Why a file is not read with these options; "" where it is."""
    sizes = (shapes_of(given["--shape"]), dims_of(given["--dim"]))
    try:
        read_model(path, *sizes, values_of(given["--value"]))
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [*SETTINGS, *OPEN])
def test_what_is_advised_works(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save((SETTINGS | OPEN)[name], path)
    given: dict[str, list[str]] = {"--shape": [], "--dim": [], "--value": []}
    text = refusal(path, given)
    for _ in range(ROUNDS):
        words = advised(text)
        assert words, text
        for option, value in zip(words[::2], words[1::2], strict=True):
            assert value not in given[option], text
            given[option].append(value)
        if not (text := refusal(path, given)):
            return
    pytest.fail(text)


@pytest.mark.parametrize(
    ("likely", "given", "wanted"),
    [
        ({"n": 1, "n + 1": 7}, {}, {"n": 1, "n + 1": 2}),
        ({"n + 1": 7}, {"n": 5}, {"n + 1": 6}),
        ({"a*b": 7, "a": 2, "b": 3}, {}, {"a*b": 6, "a": 2, "b": 3}),
        ({"floor(n/2)": 7, "n": 9}, {}, {"floor(n/2)": 4, "n": 9}),
        ({"n - 1": 1, "n": 1}, {}, {"n - 1": 127, "n": 128}),
        ({"past + 1": 1}, {}, {"past + 1": 2}),
        ({"seq-len": 128}, {"seq": 4, "len": 9}, {"seq-len": 128}),
        ({"not a (name": 3}, {}, {"not a (name": 3}),
        ({"f(x)": 3}, {}, {"f(x)": 3}),
    ],
)
def test_sizes_that_are_expressions(
    likely: dict[str, int], given: dict[str, int], wanted: dict[str, int]
) -> None:
    assert wanted == sizes_by_name(likely, given)
