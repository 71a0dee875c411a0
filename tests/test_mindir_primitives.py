"""Rules of MindIR's primitives, against numpy: what no file of the archive holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import graph_reference
import numpy as np
import pytest
from mindir_files import one
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.mindir import read
from toolchain.spec import SpecError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 5)).astype("f4")
Y = RNG.standard_normal((2, 3, 5)).astype("f4")
IMAGE = RNG.standard_normal((1, 4, 6, 7)).astype("f4")
WHOLE = np.array([[-7, -2, 5], [7, 0, 3]], "i4")
DIVISOR = np.array([[2, -3, -2], [-2, 4, 5]], "i4")
SCALE = RNG.standard_normal(5).astype("f4")
FIRST = np.array([[1, 0], [0, 2]], "i4")
UPDATES = np.ones((2, 5), "f4")


def sliced(*parts: Any, **masks: int) -> tuple[Any, ...]:
    """The inputs of StridedSlice behind x: begin, end and stride of each part."""
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    columns = [tuple(c) for c in zip(*parts, strict=True)]
    return (*columns, *(masks.get(n, 0) for n in names))


def scattered(by: Any) -> Array:
    found = X.copy()
    for (i, j), update in zip(FIRST, UPDATES, strict=True):
        found[i, j] = by(found[i, j], update)
    return found


def nearest(x: Array, sizes: Sequence[int]) -> Array:
    """Of pixels' centres: floor((i + 1/2) scale)."""
    for axis, size in zip((2, 3), sizes, strict=True):
        scale = x.shape[axis] / size
        places = np.floor((np.arange(size) + 0.5) * scale).astype(int)
        x = np.take(x, np.minimum(places, x.shape[axis] - 1), axis)
    return x


def rms(x: Array) -> Array:
    wide = x.astype("f8")
    return np.asarray(wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * SCALE)


def windows(x: Array, count: Sequence[int]) -> Array:
    """Means of so many windows of each axis of a plane."""
    found = np.zeros((*x.shape[:2], *count))
    for i in np.ndindex(*count):
        ends: list[Any] = [
            slice(k * n // c, -(-(k + 1) * n // c))
            for k, n, c in zip(i, x.shape[2:], count, strict=True)
        ]
        plane = x[:, :, ends[0], ends[1]].astype("f8")
        found[:, :, i[0], i[1]] = plane.mean((2, 3))
    return found


WRAPPED = np.pad(X, [(0, 0), (0, 0), (1, 2)], "wrap")
NEAREST, ROWS = nearest(IMAGE, (4, 10)), IMAGE.mean(3, keepdims=True)
SORTED, PARTS = [-np.sort(-X, 1), np.argsort(-X, 1)], [X[..., :1], X[..., 1:]]
ALL = (0, 0, 1)
# A primitive, its inputs, the constants behind them, its attributes, and the result.
Case = tuple[str, Sequence[Array], Sequence[Any], dict[str, Any], Any]
CASES: list[Case] = [
    ("ArgMaxWithValue", [X], [1, True], {}, [X.argmax(1)[:, None], X.max(1)[:, None]]),
    ("ArgMinWithValue", [X], [-1, False], {}, [X.argmin(-1), X.min(-1)]),
    ("BiasAdd", [X, SCALE], [1], {}, X + SCALE),
    ("BiasAdd", [X, SCALE[:3]], [], {"format": "NCHW"}, X + SCALE[:3, None]),
    ("BroadcastTo", [X[:, :1]], [(-1, 3, -1)], {}, X[:, :1].repeat(3, 1)),
    ("BroadcastTo", [X[0]], [], {"shape": (2, -1, 5)}, np.stack([X[0]] * 2)),
    ("Cast", [X * 3], [34], {}, (X * 3).astype("i4")),
    ("Cast", [X], [44], {}, X.astype("f8")),
    ("ClampScalar", [X], [None, 0.5], {}, np.minimum(X, 0.5)),
    ("CumSum", [X], [1, True, False], {}, np.cumsum(X, 1) - X),
    ("CumSum", [X], [-1, False, True], {}, np.cumsum(X[..., ::-1], -1)[..., ::-1]),
    ("Dense", [X, np.stack([SCALE] * 4)], [None], {}, X @ np.stack([SCALE] * 4).T),
    ("DivMod", [X, Y], [2], {}, np.floor(X / Y)),
    ("DivMod", [WHOLE, DIVISOR], [1], {}, np.trunc(WHOLE / DIVISOR).astype("i4")),
    ("FillV2", [], [(2, 3), np.array(7, "i4")], {}, np.full((2, 3), 7, "i4")),
    ("FloorDiv", [WHOLE, DIVISOR], [], {}, WHOLE // DIVISOR),
    ("FloorMod", [WHOLE, DIVISOR], [], {}, WHOLE % DIVISOR),
    ("FloorMod", [X, Y], [], {}, np.mod(X.astype("f8"), Y.astype("f8"))),
    ("MatMul", [X, Y], [False, True], {}, X @ Y.swapaxes(1, 2)),
    ("MatMul", [X[0], Y[0]], [], {"transpose_b": True}, X[0] @ Y[0].T),
    ("NotEqual", [WHOLE, DIVISOR], [], {}, WHOLE != DIVISOR),
    ("OneHot", [FIRST], [3, np.array(5, "i4"), np.array(-1, "i4"), 0], {}, None),
    ("Ones", [], [(2, 3), 34], {}, np.ones((2, 3), "i4")),
    ("Pad", [X], [], {"paddings": ((0, 0), (1, 0), (0, 2))}, None),
    (
        "PadV3",
        [X],
        [(1, 2)],
        {"mode": "circular"},
        WRAPPED,
    ),
    ("Range", [], [1, 9, 3], {}, np.arange(1, 9, 3)),
    ("ReduceStd", [X], [(0, 2), True, True], {}, None),
    ("ReduceSum", [X], [(), False, True], {}, X),
    (
        "ResizeNearestNeighborV2",
        [IMAGE],
        [(4, 10), False, True],
        {},
        nearest(IMAGE, (4, 10)),
    ),
    ("ReverseV2", [X], [], {"axis": (0, -1)}, X[::-1, :, ::-1]),
    ("RmsNorm", [X, SCALE], [1e-6], {}, [rms(X)]),
    ("AdaptiveAvgPool2D", [IMAGE], [], {"output_size": (4, 3)}, windows(IMAGE, (4, 3))),
    (
        "AdaptiveAvgPool2D",
        [IMAGE],
        [],
        {"output_size": (None, 1)},
        IMAGE.mean(3, keepdims=True),
    ),
    ("Select", [WHOLE > 0], [2, 5], {}, np.where(WHOLE > 0, 2, 5)),
    ("Size", [X], [], {}, np.array(30)),
    ("Slice", [X], [(0, 1, 2), (-1, 2, 2)], {}, X[:, 1:3, 2:4]),
    (
        "Sort",
        [X],
        [],
        {"axis": 1, "descending": True},
        SORTED,
    ),
    (
        "SplitV",
        [X],
        [],
        {"size_splits": (1, 4), "split_dim": 2},
        [X[..., :1], X[..., 1:]],
    ),
    ("SplitWithSize", [X], [(2, 1), 1], {}, [X[:, :2], X[:, 2:]]),
    ("SquaredDifference", [X, Y], [], {}, (X - Y) ** 2),
    ("SumExt", [WHOLE], [(1,), False, None], {}, WHOLE.sum(1, dtype="i8")),
    ("TensorScatterUpdate", [X, FIRST, UPDATES], [], {}, scattered(lambda a, b: b)),
    ("TensorScatterAdd", [X, FIRST, UPDATES], [], {}, scattered(np.add)),
    ("Tile", [X], [(2, 1, 1, 3)], {}, np.tile(X, (2, 1, 1, 3))),
    ("Transpose", [X], [(-1, 0, 1)], {}, X.transpose(2, 0, 1)),
    ("TupleToTensor", [], [(1, 2, 3), 34], {}, np.array([1, 2, 3], "i4")),
    ("Zeros", [], [4, 43], {}, np.zeros(4, "f4")),
]
SLICES: list[tuple[tuple[Any, ...], Any]] = [
    (sliced((0, 2, 1), (2, 0, -1)), X[0:2, 2:0:-1]),
    (sliced((0, 0, -1), begin=1, end=1), X[::-1]),
    (sliced((1, 2, 1), (0, 0, 1), ellipsis=2, shrink_axis=1), X[1, ...]),
    (sliced((0, 0, 1), (-1, 0, 1), ellipsis=1, shrink_axis=2), X[..., -1]),
    (
        sliced((0, 0, 1), (0, 0, 1), (1, 3, 1), ellipsis=2, new_axis=1),
        X[None, ..., 1:3],
    ),
    (
        sliced((1, 2, 1), (0, 0, 1), (0, 9, 2), new_axis=2, shrink_axis=1),
        X[1, None, 0:9:2],
    ),
    (sliced((-2, 5, 1), (1, -1, 1)), X[-2:5, 1:-1]),
]
CASES += [("StridedSlice", [X], given, {}, want) for given, want in SLICES]
OTHERS: dict[str, Any] = {
    "OneHot": np.where(np.arange(3)[:, None, None] == FIRST, 5, -1).astype("i4"),
    "Pad": np.pad(X, [(0, 0), (1, 0), (0, 2)]),
    "ReduceStd": [
        X.std((0, 2), ddof=1, keepdims=True, dtype="f8"),
        X.mean((0, 2), keepdims=True, dtype="f8"),
    ],
}


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)]
)
def test_it_is_what_numpy_computes(case: Case, tmp_path: Path) -> None:
    kind, arrays, constants, attributes, want = case
    inputs = {f"x{i}": a for i, a in enumerate(arrays)}
    file = one(kind, inputs, *constants, **attributes).write(tmp_path / "net.mindir")
    graph = read(file, Given()).graph
    want = OTHERS[kind] if want is None else want
    wanted = want if isinstance(want, list) else [want]
    found = graph_reference.run(graph, arrays)
    for got, right in zip(found, wanted, strict=True):
        exact = right.dtype.kind != "f"
        assert right.shape == got.shape
        assert got.dtype.kind == right.dtype.kind
        np.testing.assert_allclose(got, right, rtol=0 if exact else 2e-5, atol=1e-6)


REFUSED: list[tuple[str, Sequence[Array], Sequence[Any], dict[str, Any], str]] = [
    ("Conv2D", [IMAGE, IMAGE], [], {"format": "NHWC"}, "has format 'NHWC'; use 'NCHW'"),
    ("Conv2D", [IMAGE, IMAGE], [], {"pad_mode": "odd"}, "has pad_mode 'ODD'; use 'VA"),
    ("Conv2D", [IMAGE, IMAGE], [], {"pad_mode": "pad"}, "PAD and no pad_list; export"),
    ("Dropout", [X], [], {}, "drops at random; export after net.set_train"),
    (
        "BatchNorm",
        [IMAGE] + [SCALE[:4]] * 4,
        [True],
        {},
        "trains; export after net",
    ),
    ("LayerNorm", [X, X[0], X[0]], [1, 2], {}, "has a begin_params_axis that is not"),
    ("Softmax", [X], [(0, 1)], {}, r"runs along axes \[0, 1\]; use one"),
    ("Gather", [X, FIRST], [0, 1], {}, "has batch_dims 1; use 0"),
    ("Round", [X], [2], {}, "has decimals 2; use 0"),
    ("Cast", [X], [47], {}, "type 47 is unsupported; use bool, int8"),
    ("Cast", [X], [38], {}, "casts float32 to uint16, which is not supported; use"),
    ("Reshape", [X, FIRST], [], {}, "shape"),
    ("Transpose", [X, FIRST[0]], [], {}, "its perm is computed; make it a constant"),
    ("Partial", [X], [], {}, "gives arguments to what is no function of the file"),
    ("Softmax", [X], [3], {}, "axis"),
    ("MaxPool", [IMAGE], [], {}, "has no kernel_size; export the model again"),
    ("ResizeBilinearV2", [X], [(4, 4), False, False], {}, "node Default"),
]


@pytest.mark.parametrize(
    "case", REFUSED, ids=[f"{i}-{c[0]}" for i, c in enumerate(REFUSED)]
)
def test_what_is_refused(case: Any, tmp_path: Path) -> None:
    kind, arrays, constants, attributes, text = case
    inputs = {f"x{i}": a for i, a in enumerate(arrays)}
    file = one(kind, inputs, *constants, **attributes).write(tmp_path / "net.mindir")
    with pytest.raises(SpecError, match=text) as found:
        read(file, Given())
    assert f"{kind}, node Default/main:CNode_" in str(found.value)


def test_a_result_that_the_file_calls_otherwise_is_refused(tmp_path: Path) -> None:
    writer = one("Exp", {"x": X})
    said = writer.proto.graph.node[-1].attribute.add(name="shape", type=19)
    said.tensors.add(data_type=1).dims.extend([2, 3, -1])
    read(writer.write(tmp_path / "net.mindir"), Given())
    said.tensors[0].dims[1] = 4
    text = r"is float32\[2, 3, 5\] here, and float32\[2, 4, \?\] by the file"
    with pytest.raises(SpecError, match=text):
        read(writer.write(tmp_path / "net.mindir"), Given())
