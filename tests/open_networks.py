"""Networks whose sizes are open, one of each kind, and inputs of any size for them.

text: an encoder with batch and length; image: convolutions with batch, height, width;
detector: boxes by TopK and NonMaxSuppression; recurrent: an LSTM over any length;
looped: a Loop whose count and state follow from inputs; data_dependent: NonZero, If and
Compress; beam: a search in a Loop that keeps the best of its sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from toolchain.recipe import Net

Inputs = dict[str, NDArray[Any]]
Rng = np.random.Generator
WIDTH, HEADS, WORDS = 32, 4, 50


def text(net: Net) -> dict[str, Any]:
    """As exporters write it: sizes by Shape, Gather and Concat."""
    ids = net.input("ids", ("batch", "length"), "int64")
    seen = net.input("seen", ("batch", "length"), "int64")
    x = net.op("Gather", net.normal((WORDS, WIDTH), 0.5), ids)
    sizes = net.op("Shape", x)
    batch, length = (
        net.op("Gather", sizes, net.constant(np.array([i])), axis=0) for i in (0, 1)
    )
    zero, one = (net.constant(np.array(n)) for n in (0, 1))
    steps = net.op("Range", zero, net.op("Squeeze", length), one)
    x = net.op("Add", x, net.op("Gather", net.normal((64, WIDTH), 0.5), steps))
    split = [net.constant(np.array([n])) for n in (HEADS, WIDTH // HEADS)]
    shape = net.op("Concat", batch, length, *split, axis=0)
    q, k, v = (net.op("Reshape", net.dense(x, (WIDTH, WIDTH)), shape) for _ in range(3))
    q, v = (net.op("Transpose", t, perm=[0, 2, 1, 3]) for t in (q, v))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 3, 1]))
    axes = net.constant(np.array([1, 2]))
    mask = net.op("Unsqueeze", net.op("Cast", seen, to=TensorProto.BOOL), axes)
    mask = net.op(
        "Where", mask, *(net.constant(np.array(n, "float32")) for n in (0, -3.4e38))
    )
    mixed = net.op("MatMul", net.op("Softmax", net.op("Add", scores, mask)), v)
    flat = net.op("Concat", batch, length, net.constant(np.array([-1])), axis=0)
    mixed = net.op("Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
    x = net.layer_norm(net.op("Add", x, net.dense(mixed, (WIDTH, WIDTH))), WIDTH)
    return {"hidden": (x, ("batch", "length", WIDTH))}


def image(net: Net) -> dict[str, Any]:
    """Convolutions, a skip that is resized to what it joins, a pooled head."""
    x = net.input("image", ("batch", 3, "height", "width"))
    a = net.op("Relu", net.batch_norm(net.conv(x, (3, 8), 3, stride=2), 8))
    b = net.op("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    b = net.op("Clip", net.conv(b, (8, 8), 3, group=8, bias=True))
    b = net.op("Relu", net.conv(b, (8, 16), 1, bias=True))
    sizes = net.op("Shape", a)
    two, four = (net.constant(np.array([n])) for n in (2, 4))
    space = net.op("Slice", sizes, two, four)
    channels = net.op("Slice", net.op("Shape", b), net.constant(np.array([0])), two)
    whole = net.op("Concat", channels, space, axis=0)
    b = net.op("Resize", b, "", "", whole, mode="nearest")
    x = net.conv(net.op("Concat", a, b, axis=1), (24, 4), 3, bias=True)
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    return {
        "map": (x, ("batch", 4, "rows", "columns")),
        "scores": (net.dense(pooled, (4, 5)), ("batch", 5)),
    }


def detector(net: Net) -> dict[str, Any]:
    """The best k boxes of a grid, then those that do not overlap."""
    x = net.input("image", (1, 3, "height", "width"))
    k = net.input("k", (1,), "int64")
    x = net.op("Relu", net.conv(x, (3, 8), 3, stride=2, bias=True))
    x = net.conv(x, (8, 6), 1, bias=True)  # 4 of a box, 2 classes
    x = net.op("Transpose", net.op("Flatten", x, axis=2), perm=[1, 0])
    x = net.op("Reshape", x, net.constant(np.array([-1, 6])))
    boxes, classes = (
        net.op(
            "Slice",
            x,
            *(net.constant(np.array([n])) for n in (start, end, 1)),
        )
        for start, end in ((0, 4), (4, 6))
    )
    scores = net.op("Sigmoid", classes)
    best = net.op("ReduceMax", scores, net.constant(np.array([1])), keepdims=0)
    _, places = net.op("TopK", best, k, outputs=2, axis=0)
    boxes = net.op("Gather", net.op("Abs", boxes), places, axis=0)
    scores = net.op("Gather", scores, places, axis=0)
    first = net.constant(np.array([0]))
    batched = net.op("Unsqueeze", boxes, first)
    turned = net.op("Unsqueeze", net.op("Transpose", scores, perm=[1, 0]), first)
    chosen = net.op(
        "NonMaxSuppression",
        *(batched, turned, net.constant(np.array([20]))),
        *(net.constant(np.array([n], "float32")) for n in (0.5, 0.3)),
        center_point_box=1,
    )
    rows = net.op("Gather", chosen, net.constant(np.array(2)), axis=1)
    return {
        "boxes": (net.op("Gather", boxes, rows, axis=0), ("found", 4)),
        "scores": (net.op("Gather", scores, rows, axis=0), ("found", 2)),
    }


def recurrent(net: Net) -> dict[str, Any]:
    """An LSTM in both directions over sequences of any length."""
    x = net.input("x", ("steps", "batch", 6))
    shapes = ((2, 16, 6), (2, 16, 4), (2, 32))
    weights = [net.normal(s, 0.3) for s in shapes]
    y, h, _ = net.op(
        "LSTM", x, *weights, outputs=3, hidden_size=4, direction="bidirectional"
    )
    return {"y": (y, ("steps", 2, "batch", 4)), "h": (h, (2, "batch", 4))}


def _region(net: Net, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
    """The nodes of a net as a graph of a node; its weights are the graph's."""
    return helper.make_graph(net.nodes, name, inputs, outputs, net.initializers)


def _info(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def looped(net: Net) -> dict[str, Any]:
    """State grows by a row in each of n iterations, until its sum is large."""
    x, n = net.input("x", ("rows", 3)), net.input("n", (), "int64")
    body = Net("body", seed=1)
    body.count = 100
    step = body.op("Cast", "i", to=TensorProto.FLOAT)
    row = body.op("ReduceMean", "state", body.constant(np.array([0])), keepdims=1)
    row = body.op(
        "Add", body.op("Mul", row, body.constant(np.array(0.9, "float32"))), step
    )
    state = body.op("Concat", "state", row, axis=0)
    total = body.op("ReduceSum", state, keepdims=0)
    going = body.op("Less", total, body.constant(np.array(500, "float32")))
    body.nodes.append(helper.make_node("Identity", [going], ["going"]))
    body.nodes.append(helper.make_node("Identity", [state], ["next"]))
    body.nodes.append(helper.make_node("Identity", [total], ["total"]))
    graph = _region(
        body,
        "body",
        [
            _info("i", (), TensorProto.INT64),
            _info("on", (), TensorProto.BOOL),
            _info("state", ("rows", 3)),
        ],
        [
            _info("going", (), TensorProto.BOOL),
            _info("next", ("more", 3)),
            _info("total", ()),
        ],
    )
    state, totals = net.op("Loop", n, "", x, outputs=2, body=graph)
    return {"state": (state, ("grown", 3)), "totals": (totals, ("iterations",))}


def data_dependent(net: Net) -> dict[str, Any]:
    """The elements above 0, and a branch on how many there are."""
    x = net.input("x", ("rows", "columns"))
    above = net.op("Greater", x, net.constant(np.array(0, "float32")))
    places = net.op("Transpose", net.op("NonZero", above), perm=[1, 0])
    found = net.op("GatherND", x, places)
    rows = net.op("ReduceMax", x, net.constant(np.array([1])), keepdims=0)
    some = net.op("Greater", rows, net.constant(np.array(1, "float32")))
    kept = net.op("Compress", x, some, axis=0)
    count = net.op("Size", found)
    many = net.op("Greater", count, net.constant(np.array(12)))
    branches = []
    for name, kind in (("then", "Exp"), ("else", "Neg")):
        branch = Net(name)
        branch.count = 200 if name == "then" else 300
        value = branch.op(kind, found)
        branches.append(_region(branch, name, [], [_info(value, ("found",))]))
    result = net.op("If", many, then_branch=branches[0], else_branch=branches[1])
    return {"result": (result, ("found",)), "kept": (kept, ("kept", "columns"))}


def beam(net: Net) -> dict[str, Any]:
    """The best 3 sequences of words, as long as asked, each by a table of scores."""
    first, n = net.input("first", (1,), "int64"), net.input("n", (), "int64")
    count, words = 3, 7
    start = net.op("Unsqueeze", first, net.constant(np.array([0])))
    start = net.op("Expand", start, net.constant(np.array([count, 1])))
    before = net.constant(np.array([[0.0], [-50.0], [-60.0]], "float32"))
    table = net.normal((words, words), 1.0)
    body = Net("body", seed=2)
    body.count = 400
    last = body.op("Gather", "kept", body.constant(np.array(-1)), axis=1)
    step = body.op("Cast", "i", to=TensorProto.FLOAT)
    # Another table in each step: no two sequences are worth the same.
    slope = body.op("Mul", step, body.constant(np.array(0.1, "float32")))
    chosen = body.op("Gather", table, last)
    chosen = body.op("Mul", chosen, body.op("Exp", slope))
    scores = body.op("LogSoftmax", chosen, axis=-1)
    scores = body.op("Add", scores, "best")
    flat = body.op("Reshape", scores, body.constant(np.array([-1])))
    top, places = body.op("TopK", flat, body.constant(np.array([count])), outputs=2)
    size = body.constant(np.array(words))
    parents = body.op("Div", places, size)
    chosen = body.op(
        "Unsqueeze", body.op("Mod", places, size), body.constant(np.array([1]))
    )
    rows = body.op("Gather", "kept", parents, axis=0)
    kept = body.op("Concat", rows, chosen, axis=1)
    best = body.op("Unsqueeze", top, body.constant(np.array([1])))
    for value, name in ((kept, "kept_next"), (best, "best_next"), ("on", "on_next")):
        body.nodes.append(helper.make_node("Identity", [value], [name]))
    graph = _region(
        body,
        "body",
        [
            _info("i", (), TensorProto.INT64),
            _info("on", (), TensorProto.BOOL),
            _info("kept", (count, "length"), TensorProto.INT64),
            _info("best", (count, 1)),
        ],
        [
            _info("on_next", (), TensorProto.BOOL),
            _info("kept_next", (count, "longer"), TensorProto.INT64),
            _info("best_next", (count, 1)),
        ],
    )
    kept, best = net.op("Loop", n, "", start, before, outputs=2, body=graph)
    words_as_numbers = net.op("Cast", kept, to=TensorProto.FLOAT)
    return {
        "words": (words_as_numbers, (count, "length")),
        "scores": (best, (count, 1)),
    }


def _floats(rng: Rng, *shape: Any) -> NDArray[Any]:
    return rng.standard_normal([int(n) for n in shape]).astype("float32")


def _text_inputs(rng: Rng) -> Inputs:
    shape = tuple(rng.integers(1, 20, 2))
    seen = rng.integers(0, 2, shape)
    return {"ids": rng.integers(0, WORDS, shape), "seen": seen}


NETWORKS: dict[str, tuple[Callable[[Net], dict[str, Any]], Callable[[Rng], Inputs]]] = {
    "text": (text, _text_inputs),
    "image": (
        image,
        lambda r: {"image": _floats(r, r.integers(1, 3), 3, *r.integers(7, 40, 2))},
    ),
    "detector": (
        detector,
        lambda r: {
            "image": _floats(r, 1, 3, *r.integers(8, 24, 2)),
            "k": r.integers(1, 16, 1),
        },
    ),
    "recurrent": (recurrent, lambda r: {"x": _floats(r, *r.integers(1, 12, 2), 6)}),
    "looped": (
        looped,
        lambda r: {
            "x": _floats(r, r.integers(1, 9), 3),
            "n": np.array(r.integers(1, 40)),
        },
    ),
    "data_dependent": (
        data_dependent,
        lambda r: {"x": _floats(r, *r.integers(1, 9, 2))},
    ),
    "beam": (
        beam,
        lambda r: {"first": r.integers(0, 7, 1), "n": np.array(r.integers(1, 12))},
    ),
}


def network(name: str) -> Any:
    """The ONNX model of a network."""
    net = Net(name, seed=3)
    return net.model(**NETWORKS[name][0](net))
