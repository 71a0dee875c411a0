"""Arrays of the runtime: operators that fill them run, larger operators do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ops_wasm32
import pytest
from abi import Module, integer, none, number
from full_operators import MANY, SOURCES
from linking import link_operators, link_texts

from toolchain.codegen import limits
from toolchain.codegen.descriptor import descriptor, fixed_descriptor, table
from toolchain.codegen.operators import load_operator
from toolchain.codegen.room import Room, room
from toolchain.profile import ROOT
from toolchain.spec import Attribute, Bound, Input, Operator, Output, SpecError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module of operators that fill the runtime's arrays."""
    return link_operators(tmp_path_factory.mktemp("limits"), SOURCES)


@pytest.fixture
def library(path: Path) -> ops_wasm32.Library:
    return ops_wasm32.load(path)


def test_many_sizes_attributes_and_values(library: ops_wasm32.Library) -> None:
    shapes = [(2, 1, 3, 1, 2, 2)] * 5 + [(4, 1)]
    inputs = [np.full(s, i + 0.5, np.float32) for i, s in enumerate(shapes)]
    values = {f"v{i}": float(i % 5) for i in range(15)}
    listed = [float(i) for i in range(49)]
    result = library.call("many", *inputs, **values, l=listed)
    total = sum((i + 0.5) * (i + 1) for i in range(6))
    total += sum(v * (i + 1) for i, v in enumerate(values.values()))
    # Of each group of 7 the kernel takes the last; l_0 is that of the first.
    assert result.tolist() == [total + 6.0] * 2


def test_one_value_more_is_refused(path: Path) -> None:
    module = Module(path)
    shapes = [[2, 1, 1, 1, 1, 1]] * 5 + [[1, 1]]
    tensors = [module.tensor(s) for s in (*shapes, [2])]
    numbers = [number(0.0)] * 15
    for more, code in ((49, 0), (50, 2), (56, 2), (400, 2)):
        args = [*tensors, *numbers, *[number(1.0)] * more]
        assert module.call("many_float32", *args) == code, module.error()
        assert not code or "arguments, got" in module.error()


def test_many_sizes_of_outputs(library: ops_wasm32.Library) -> None:
    x = np.arange(48, dtype=np.float32).reshape(2, 1, 3, 2, 2, 2)
    results = library.call("outputs", x)
    for o, result in enumerate(results):
        want = (x if o < 10 else x[..., 0, 0]) * (o + 1)
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_many_outputs_of_rows(library: ops_wasm32.Library, axis: int) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for o, result in enumerate(library.call("by_rows", x, axis=axis)):
        np.testing.assert_array_equal(result, x * (o + 1))


def test_rows_become_wider(path: Path) -> None:
    """Where they are moved, past the end of memory if a workspace is too small."""
    x = np.arange(600_000).astype(np.int8).reshape(3, 200_000)
    result = ops_wasm32.load(path).call("wider", x, axis=0)
    np.testing.assert_array_equal(result, x.astype(np.int64) + 7)


def test_what_stands_for_an_absent_input_is_given_back(path: Path) -> None:
    module = Module(path)
    x, out = module.tensor([1, 1 << 18], "int8"), module.tensor([1, 1 << 18], "int64")
    for i in range(20):
        assert module.call("wider_int8", x, none(), out, integer(-1)) == 0
        if i == 0:
            size = module.memory.data_len(module.store)
    assert module.memory.data_len(module.store) == size


def test_many_elementwise_inputs(library: ops_wasm32.Library) -> None:
    rng = np.random.default_rng(1)
    shapes = ((3, 1, 700), (1, 5, 1), (3, 5, 700), (700,))
    a, b, c, d = (rng.integers(0, 9, s).astype(np.float32) for s in shapes)
    want = a + b * 10 + c * 100 + d * 1000
    np.testing.assert_array_equal(library.call("four", a, b, c, d), want)
    want = a + b * 10 + c * 100 + 3000
    np.testing.assert_array_equal(library.call("four", a, b, c), want)


def test_defaults_at_the_ends_of_int64(library: ops_wasm32.Library) -> None:
    result = library.call("ends", np.zeros(2, np.int64))
    assert result.tolist() == [-(2**63), 2**63 - 1]


def test_an_absent_first_input(library: ops_wasm32.Library) -> None:
    y = np.arange(3, dtype=np.float32)
    for _ in range(2):
        assert library.call("first", None, y).tolist() == [2, 3, 4]
        assert library.call("first", y + 5, y).tolist() == [5, 6, 7]


def test_an_attribute_of_a_product(library: ops_wasm32.Library) -> None:
    a, b = (np.arange(n, n + 12, dtype=np.float32) for n in (0, 5))
    for shape in ((2, 3, 2), (1, 6, 2), (6, 2)):
        left, right = a.reshape(shape), b.reshape(2, 6)
        result = library.call("scaled", left, right, alpha=3)
        np.testing.assert_array_equal(result, left @ right * 3)


ONE = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=lambda k: k.x,
    reference=None,  # type: ignore[arg-type]  # it is not run
    cases=None,  # type: ignore[arg-type]  # nor are these
)
LISTS = tuple(Attribute(f"l{i}", per_unit=1, default=0) for i in range(8))

T = TypeVar("T")


def many(
    kind: Callable[..., T], count: int, *args: object, **fields: object
) -> tuple[T, ...]:
    return tuple(kind(f"t{i}", *args, **fields) for i in range(count))


def letters(count: int) -> str:
    return " ".join(f"s{i}" for i in range(count))


# What is replaced in ONE, at the limit and beyond it, and the text.
LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "values": (
        {"attributes": LISTS},
        {"attributes": (*LISTS, Attribute("one"))},
        "65 attribute values, but the runtime takes 64; lower units=",
    ),
    "units": (
        {"attributes": LISTS[:1], "units": 8},
        {"attributes": LISTS[:1], "units": 9},
        "9 units, but the runtime takes 8",
    ),
    "attributes": (
        {"attributes": many(Attribute, 16)},
        {"attributes": many(Attribute, 17)},
        "17 attributes, but the runtime takes 16; join some",
    ),
    "axes": (
        {"inputs": (Input("x", letters(6)),)},
        {"inputs": (Input("x", letters(7)),)},
        "7 axes in a tensor, but the runtime takes 6",
    ),
    "sizes": (
        {"sizes": tuple(letters(31).split())},
        {"sizes": tuple(letters(32).split())},
        "33 sizes, but the runtime takes 32; share some",
    ),
    "slots": (
        {"inputs": many(Input, 60, "n")},
        {"inputs": many(Input, 61, "n")},
        "65 arguments of its kernel, but the runtime takes 64; split it",
    ),
    "tensors": (
        {"inputs": many(Input, 60, "n")},
        {"inputs": many(Input, 64, "n")},
        "65 tensors, but the runtime takes 64",
    ),
    "units of tensors": (
        {"collapse": "concat.axis", "inputs": (Input("x", "n", variadic=True),)},
        {
            "collapse": "concat.axis",
            "inputs": (Input("x", "n", variadic=True),),
            "units": 64,
        },
        "65 tensors, but the runtime takes 64",
    ),
    "variadic": (
        {"collapse": "view.split", "outputs": (Output(variadic=True),)},
        {"outputs": (Output(variadic=True),)},
        "exact.plain takes no variadic tensors; use concat.axis or view.split",
    ),
    "elementwise": (
        {"collapse": "elementwise.broadcast", "inputs": many(Input, 4, "n")},
        {"collapse": "elementwise.broadcast", "inputs": many(Input, 5, "n")},
        "5 elementwise inputs, but the runtime takes 4",
    ),
    "rows": (
        {
            "collapse": "rows.axis",
            "inputs": (Input("x", "o n"),),
            "outputs": many(Output, 8),
        },
        {
            "collapse": "rows.axis",
            "inputs": (Input("x", "o n"),),
            "outputs": many(Output, 9),
        },
        "9 outputs of rows, but the runtime takes 8",
    ),
}


def describe(operator: Operator, dims: list[list[int]] | None = None) -> str:
    dims = dims or [[] for _ in operator.outputs]
    variants = operator.variants()
    return descriptor("one", operator, variants, [], dims, False)


@pytest.mark.parametrize(("least", "more", "text"), LIMITS.values(), ids=LIMITS)
def test_what_arrays_do_not_hold_is_refused(
    least: dict[str, Any], more: dict[str, Any], text: str
) -> None:
    assert describe(replace(ONE, **least))
    with pytest.raises(SpecError, match=re.escape(text)):
        describe(replace(ONE, **more))


def test_sizes_of_outputs_are_limited() -> None:
    operator = replace(ONE, outputs=many(Output, 11))
    assert describe(operator, [[0] * 6] * 10 + [[0] * 4])
    with pytest.raises(SpecError, match="65 sizes of outputs, but the runtime takes"):
        describe(operator, [[0] * 6] * 10 + [[0] * 5])


def test_every_operator_is_within_the_limits() -> None:
    for file in sorted((ROOT / "kernels").glob("[!_]*.py")):
        assert describe(load_operator(file))


# -- at run time: of objects that another toolchain made --

NOTHING = "define i32 @kernel_net(ptr %slots) {\n  ret i32 0\n}\n"


def fixed(folder: Path, tensors: int, has: Room) -> Module:
    """A model of that many inputs in a room of that size."""
    text = fixed_descriptor(
        "net", [(f"x{i}", "float32", ()) for i in range(tensors)], []
    )
    return Module(link_texts(folder, [table(["net"]), room([has]), text, NOTHING], []))


@pytest.mark.parametrize(("room_for", "code"), [(5, 0), (4, 2), (1, 2)])
def test_a_room_that_is_too_small(tmp_path: Path, room_for: int, code: int) -> None:
    module = fixed(tmp_path, 5, Room(room_for, 200))
    args = [module.tensor([]) for _ in range(5)]
    for _ in range(2):
        assert module.call("net", *args) == code
    assert module.infer("net", *args) == code
    if code:
        text = "net: no room; takes 5 arguments, got 5 in all"
        assert module.error() == f"{text}; see ops_signature"


def test_a_signature_is_cut_where_its_room_ends(tmp_path: Path) -> None:
    whole = "net(x0: float32, x1: float32) -> ()"
    module = fixed(tmp_path, 2, Room(2, len(whole) + 2))
    assert (
        module.text(module.run("ops_signature", 0)) == "net(x0: float32, x1: float32)"
    )
    module = fixed(tmp_path, 2, Room(2, 12))
    assert module.text(module.run("ops_signature", 0)) == "net(x0: ..."


def test_more_attributes_than_the_runtime_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_VALUES", "MAX_SLOTS", "MAX_ATTRIBUTES"):
        monkeypatch.setattr(limits, name, 1000)
    module = Module(
        link_operators(tmp_path, {"more": MANY.replace("units=7", "units=8")})
    )
    shapes = [[1] * 6] * 5 + [[1, 1], [1]]
    for values, code in ((49, 0), (56, 2)):
        args = [*(module.tensor(s) for s in shapes), *[integer(0)] * (15 + values)]
        assert module.call("more_float32", *args) == code, module.error()
    assert module.error() == (
        "more_float32: has more attributes than the runtime takes: 16, or 64 values"
    )
