"""Attention and others that ONNX Runtime's optimiser writes, against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from graph_reference import run
from onnx import helper
from onnx_files import info
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.passes import optimise
from toolchain.spec import SpecError

MS = "com.microsoft"
RNG = np.random.default_rng(0)
WIDTH, HEADS, GROUPS = 16, 4, 2
BATCH, STEPS, PAST = 2, 5, 3


def drawn(*shape: int) -> Array:
    return (RNG.standard_normal(shape) / 2).astype("float32")


def places() -> Array:
    return np.tile(np.arange(STEPS), (BATCH, 1))


TABLES = (drawn(20, WIDTH // 2), drawn(20, WIDTH // 2))
SMALL = (drawn(20, 2), drawn(20, 2))
X = drawn(BATCH, STEPS, 4 * HEADS)


def cached(batch: int, steps: int, ends: list[int], room: int = PAST) -> Any:
    """Inputs of GroupQueryAttention: ends says where each row's last step is."""
    past = (drawn(batch, GROUPS, room, WIDTH), drawn(batch, GROUPS, room, WIDTH))
    new = [drawn(batch, steps, n * WIDTH) for n in (HEADS, GROUPS, GROUPS)]
    total = np.array(max(ends) + 1, "int32")
    return (*new, *past, np.array(ends, "int32"), total)


PACKED = (
    drawn(1, STEPS, (HEADS + 2 * GROUPS) * WIDTH),
    *(None, None, drawn(1, GROUPS, 0, WIDTH), drawn(1, GROUPS, 0, WIDTH)),
    *(np.array([STEPS - 1], "int32"), np.array(STEPS, "int32")),
)
GROUPED = {"num_heads": HEADS, "kv_num_heads": GROUPS}
# Operator, inputs, attributes; outputs of which ONNX Runtime leaves a part as it was.
NODES: tuple[tuple[str, Any, dict[str, Any], int], ...] = (
    ("RotaryEmbedding", (X, places(), *SMALL), {"num_heads": HEADS}, 1),
    ("RotaryEmbedding", (drawn(BATCH, HEADS, STEPS, 4), places(), *SMALL), {}, 1),
    (
        "RotaryEmbedding",
        (drawn(BATCH, HEADS, STEPS, 4), np.array([3]), *SMALL),
        {"interleaved": 1},
        1,
    ),
    (
        "RotaryEmbedding",
        (drawn(BATCH, HEADS, STEPS, 4), places(), drawn(20, 1), drawn(20, 1)),
        {"rotary_embedding_dim": 2, "num_heads": HEADS},
        1,
    ),
    ("GroupQueryAttention", cached(1, STEPS, [STEPS + PAST - 1]), GROUPED, 3),
    ("GroupQueryAttention", cached(2, 1, [PAST, PAST]), GROUPED, 3),
    ("GroupQueryAttention", cached(2, 1, [PAST, 1]), GROUPED, 1),
    ("GroupQueryAttention", cached(1, 1, [PAST], room=9), GROUPED, 1),
    ("GroupQueryAttention", PACKED, GROUPED, 3),
    ("GroupQueryAttention", PACKED, GROUPED | {"local_window_size": 3}, 3),
    ("GroupQueryAttention", PACKED, GROUPED | {"softcap": 2.0, "scale": 0.3}, 3),
    ("GroupQueryAttention", (*PACKED, *TABLES), GROUPED | {"do_rotary": 1}, 3),
    (
        "GroupQueryAttention",
        (*cached(2, 1, [PAST, 1]), *TABLES),
        GROUPED | {"do_rotary": 1, "rotary_interleaved": 1},
        1,
    ),
    ("CDist", (drawn(3, 4), drawn(5, 4)), {"metric": "euclidean"}, 1),
    ("CDist", (drawn(3, 4), drawn(5, 4)), {"metric": "sqeuclidean"}, 1),
    ("Trilu", (drawn(2, 4, 4),), {"upper": 0}, 1),
    ("GatherND", (drawn(3, 4), np.array([[1], [0]])), {}, 1),
)


def file_of(kind: str, inputs: Any, given: dict[str, Any], outputs: int) -> Any:
    """A model of one node, all of whose sizes are open."""
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(inputs)]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(kind, names, made, name="n", domain=MS, **given)
    values = [
        info(
            name,
            [f"{name}_{i}" for i in range(value.ndim)],
            helper.np_dtype_to_tensor_dtype(value.dtype),
        )
        for name, value in zip(names, inputs, strict=True)
        if value is not None
    ]
    results = [info(n, None) for n in made]
    graph = helper.make_graph([node], "g", values, results)
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


@pytest.mark.parametrize(("kind", "inputs", "given", "whole"), NODES)
def test_nodes_give_what_onnx_runtime_gives(
    kind: str, inputs: Any, given: dict[str, Any], whole: int
) -> None:
    proto = file_of(kind, inputs, given, 3 if kind.startswith("Group") else 1)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    arrays = [v for v in inputs if v is not None]
    names = [i.name for i in proto.graph.input]
    wanted = session.run(None, dict(zip(names, arrays, strict=True)))
    graph = graph_of(proto, "net", Given(), "file").graph
    optimise(graph)
    found = run(graph, arrays)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == np.shape(b)
        if i < whole:
            np.testing.assert_allclose(a, b, 1e-4, 1e-5)


def test_what_is_of_one_processor_or_unknown_is_refused() -> None:
    proto = file_of("GroupQueryAttention", PACKED, GROUPED | {"smooth_softmax": 1}, 3)
    with pytest.raises(SpecError, match="smooth_softmax"):
        graph_of(proto, "net", Given(), "file")
    proto.graph.node[0].op_type = "Conv"
    proto.graph.node[0].domain = f"{MS}.nchwc"
    with pytest.raises(SpecError, match="optimise to ORT_ENABLE_EXTENDED"):
        graph_of(proto, "net", Given(), "file")
