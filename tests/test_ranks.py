"""Tensors of 8 axes through every path to canonical sizes; and what calls leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import ops_wasm32
import pytest
from abi import library_path
from ops_wasm32.convert import Array
from verification import Cell, check

from toolchain.codegen.operators import load_operator
from toolchain.profile import ROOT
from toolchain.spec import Case
from toolchain.targets import TARGETS

SHAPE = (2, 1, 3, 1, 2, 2, 1, 3)
OTHER = (1, 4, 3, 2, 1, 2, 5, 1)
AXES = (7, 5, 4, 2, 0, 1, 3, 6)
RNG = np.random.default_rng(11)


def floats(*shape: int) -> Array:
    return RNG.integers(-9, 9, shape).astype(np.float32)


def bytes_of(*shape: int) -> Array:
    return RNG.integers(-99, 99, shape).astype(np.int8)


X, Y, SMALL = floats(*SHAPE), floats(*OTHER), bytes_of(*SHAPE)
TWO = floats(2, 3, 2, 2, 1, 2, 3, 4)
F, I8 = ("float32",), ("int8",)
# Operator, dtypes, inputs, attributes.
Call = tuple[str, tuple[str, ...], tuple[Any, ...], dict[str, Any]]
CALLS: tuple[Call, ...] = (
    ("add", F, (X, Y), {}),
    ("sub", F, (Y, X[0]), {}),
    ("clip", F, (X, Y[:, :, :1], None), {}),
    ("clip", I8, (SMALL, None, bytes_of(3, 1)), {}),
    ("where", F, (X > 0, Y, floats(1)), {}),
    ("relu", F, (TWO,), {}),
    ("leaky_relu", F, (X,), {"alpha": 0.5}),
    *(("softmax", F, (TWO,), {"axis": a}) for a in range(8)),
    *(("cum_sum", I8, (SMALL,), {"axis": a, "reverse": 1}) for a in range(8)),
    *(("arg_max", F, (TWO,), {"axis": a, "keepdims": a % 2}) for a in range(8)),
    *(
        ("reduce_sum", F, (TWO,), {"axes": list(axes), "keepdims": i % 2})
        for i, axes in enumerate(((0, 2, 4), (1, 3, 7), (-1, -8), (3,), AXES))
    ),
    ("reduce_max", I8, (SMALL,), {"axes": [0, 5], "keepdims": 0}),
    ("reduce_sum", F, (TWO,), {"noop_with_empty_axes": 1}),
    ("reduce_sum", F, (TWO,), {}),
    ("global_average_pool", F, (TWO,), {}),
    ("layer_normalization", F, (TWO, floats(2, 3, 4), None), {"axis": 5}),
    ("layer_normalization", F, (TWO, floats(*TWO.shape), TWO), {"axis": -8}),
    ("batch_normalization", F, (TWO, *(abs(floats(3)) + 1 for _ in range(4))), {}),
    ("dequantize_linear", I8, (SMALL, abs(floats(3)) + 1, None), {"axis": 7}),
    ("dequantize_linear", I8, (SMALL, np.float32(2), np.int8(3)), {"axis": 0}),
    ("transpose", F, (TWO,), {"perm": list(AXES)}),
    ("transpose", F, (TWO,), {}),
    ("transpose", I8, (SMALL,), {"perm": [0, 1, 2, 3, 4, 5, 7, 6]}),
    (
        "slice",
        F,
        (TWO,),
        {
            "starts": [-1, 0, 1, 0, 0, 0, 9, 3],
            "ends": [-9, 2, 2, 1, 1, 9, -9, -9],
            "axes": list(range(8)),
            "steps": [-1, 1, 1, 1, 1, 1, -2, -2],
        },
    ),
    ("slice", F, (X,), {"starts": [2], "ends": [2], "axes": [2], "steps": [2]}),
    ("slice", F, (X,), {"starts": [1], "ends": [2], "axes": [2], "steps": [-3]}),
    ("expand", F, (X,), {"shape": [2, 2, 3, 2, 1, 2, 2, 3]}),
    ("tile", F, (X,), {"repeats": [1, 2, 1, 3, 2, 1, 1, 2]}),
    ("split", F, (TWO,), {"axis": 7, "split": [1, 0, 3]}),
    ("reshape", F, (TWO,), {"shape": [0, 1, 3, -1, 2, 1, 4, 3]}),
    ("gather", ("float32", "int32"), (TWO, np.array(-1, np.int32)), {"axis": 7}),
    (
        "gather",
        ("float32", "int64"),
        (TWO[0, 0, 0], np.array([[1, 0], [0, 0], [0, 1]])[:, None, None]),
        {"axis": 0},
    ),
    *(("concat", F, (TWO, TWO[:, :, :, :, :, :, ::-1]), {"axis": a}) for a in (0, 6)),
    ("concat", I8, (SMALL,) * 62, {"axis": -1}),
    ("pad", F, (TWO,), {"pads": [1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0, 0, 3, 0, -1, 0]}),
    ("pad", F, (X,), {"pads": [1] * 16, "mode": "edge"}),
    ("pad", F, (floats(2, 3),), {"pads": [0, -2, 0, -1]}),
    ("pad", F, (floats(2, 3),), {"pads": [1, -3, 0, 2]}),
    ("pad", F, (floats(0, 3),), {"pads": [1, 2, 0, 1]}),
    ("matmul", F, (TWO, floats(3, 2, 2, 1, 2, 4, 5)), {}),
    ("matmul", F, (floats(1, 3, 1, 2, 1, 2, 2, 3), floats(2, 1, 2, 1, 1, 1, 3, 4)), {}),
    ("matmul", F, (floats(3, 2, 1), floats(3, 1, 1)), {}),
    ("matmul", F, (floats(3, 2, 2), floats(1, 2, 2)), {}),
    ("matmul", F, (floats(2, 2), floats(3, 2, 2)), {}),
    (
        "matmul_integer",
        ("int8", "int8"),
        (SMALL, bytes_of(2, 1, 3, 1, 2, 2, 3, 4), np.int8(3), None),
        {},
    ),
    ("matmul_packed", F, (X, floats(2, 3, 8), None), {"columns": 11}),
    ("equal_count", F, (TWO, TWO.round(-1)), {}),
)


def run(library: ops_wasm32.Library, call: Call) -> list[Array]:
    name, dtypes, inputs, attributes = call
    result = library.call("_".join((name, *dtypes)), *inputs, **attributes)
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("target", TARGETS)
def test_eight_axes(target: str) -> None:
    library = ops_wasm32.load(library_path(target))
    for call in CALLS:
        name, dtypes, inputs, attributes = call
        operator = load_operator(ROOT / "kernels" / f"{name}.py")
        case = Case("eight axes", inputs, attributes)
        check(Cell(name, name, dtypes, target, case), operator, run(library, call))


@pytest.mark.parametrize("target", TARGETS)
def test_a_call_leaves_nothing_to_the_next(target: str) -> None:
    """A call does not see values and tensors of the call before it."""
    library = ops_wasm32.load(library_path(target))
    x = floats(*[1] * 8)
    far = [-(2**63)] * 8
    between = (
        (
            "slice",
            F,
            (x,),
            {"starts": far, "ends": far, "axes": [-9] * 8, "steps": far},
        ),
        ("split", F, (floats(9, 9),), {"split": [2**31 - 1] * 62}),
        ("concat", F, (*[floats(3, 2)] * 61, floats(5, 7, 2)), {"axis": 0}),
    )
    for call in CALLS:
        first = run(library, call)
        for other in between:
            with pytest.raises(ops_wasm32.OpsError):
                run(library, other)
            for a, b in zip(first, run(library, call), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("target", TARGETS)
def test_a_call_keeps_no_memory(target: str) -> None:
    """Nor does it free what it has not taken, which would leave an error's text."""
    library = ops_wasm32.load(library_path(target))
    for call in CALLS:
        run(library, call)  # grows the host's own block
        before = free_places(library)
        text = library._instance._text(library._instance._run("ops_last_error"))
        run(library, call)
        assert free_places(library) == before, call[0]
        after = library._instance._text(library._instance._run("ops_last_error"))
        assert after == text


def free_places(library: ops_wasm32.Library) -> list[int]:
    """Where blocks of some sizes would lie."""
    places = []
    for size in (1, 4000, 200_000):
        places.append(library._instance._run("ops_alloc", size))
        assert library._instance._run("ops_free", places[-1]) == 0
    return places
