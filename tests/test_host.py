"""The host package, on the built library."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import ops_wasm32
import pytest
from ops_wasm32.binding import bind
from ops_wasm32.convert import Array
from ops_wasm32.signature import Attribute, Param, Signature, parse_signature

CONV = parse_signature(
    "conv_float32(x: float32, w: float32, b?: float32) -> (out: float32); "
    "strides: int[1] = 1 >= 1; pads: int[2] = 0; group: int = 1"
)
SPLIT = parse_signature("split_int8(x: int8) -> (out...: int8); split: int[1] = -1")
PAD = parse_signature(
    "pad_int8(x: int8) -> (out: int8); mode: int{constant=0,reflect=1} = 0; "
    "value: float = 0.5; pads: int[2]"
)
CONCAT = parse_signature("concat_int8(x...: int8) -> (out: int8); axis: int")
SLICE = parse_signature(
    "slice_int8(x: int8) -> (out: int8); starts: int[1]; ends: int[1]"
)
CASTS = [
    parse_signature(f"cast_float32_{to}(x: float32) -> (out: {to})", index)
    for index, to in enumerate(("int32", "int8"))
]
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module", params=ops_wasm32.TARGETS)
def library(request: pytest.FixtureRequest) -> ops_wasm32.Library:
    """The built library of each target."""
    return ops_wasm32.load(target=request.param)


def text_of(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """Text of the ArgumentError that a call must raise."""
    with pytest.raises(ops_wasm32.ArgumentError) as caught:
        call(*arguments, **named)
    return str(caught.value)


# Signatures


def test_signature_of_every_kernel_is_understood(library: ops_wasm32.Library) -> None:
    names = library.ops()
    assert names == [library.signature(name).name for name in names]


def test_signature_has_all_parts() -> None:
    text = (
        "f_int8(a: int8, b?: int32, c...: bool) -> (out: float32); axis: int; "
        "mode: int{one=0,two=1} = 1; alpha: float = -1e-05 >= -2.5 <= inf; "
        "pads: int[2] = 0"
    )
    assert parse_signature(text, 7) == Signature(
        "f_int8",
        (
            Param("a", "int8"),
            Param("b", "int32", optional=True),
            Param("c", "bool", variadic=True),
        ),
        (Param("out", "float32"),),
        (
            Attribute("axis", "int"),
            Attribute("mode", "int", choices=("one", "two"), default=1.0),
            Attribute(
                "alpha", "float", default=-1e-05, minimum=-2.5, maximum=float("inf")
            ),
            Attribute("pads", "int", per_unit=2, default=0.0),
        ),
        7,
    )


@pytest.mark.parametrize(
    "text",
    [
        "f(a: int8)",
        "f(a: int7) -> (out: int8)",
        "f(a...: int8, b: int8) -> (out: int8)",
        "f(a: int8) -> (out: int8); axis: text",
        "f(a: int8) -> (out: int8); axis: int = one",
        "f(a: int8) -> (out: int8); mode: int{a=1}",
        "f(a: int8) -> (out: int8); axis: int...",
    ],
)
def test_signature_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ops_wasm32.ModuleError, match="signature"):
        parse_signature(text)


# Calls


def test_call_adds(library: ops_wasm32.Library) -> None:
    out = library.call("add", X, X[0])
    assert ("float32", (X + X[0]).tolist()) == (out.dtype.name, out.tolist())


def test_call_by_kernel_and_keyword(library: ops_wasm32.Library) -> None:
    assert [[3]] == library.call("add_int8", a=[[1]], b=2).tolist()


def test_call_takes_any_memory_order_and_byte_order(
    library: ops_wasm32.Library,
) -> None:
    out = library.call("add", X.T, X.T.astype(">f4"))
    assert (X.T + X.T).tolist() == out.tolist()


def test_call_keeps_rank_0_and_empty(library: ops_wasm32.Library) -> None:
    zero = np.zeros((), np.float32)
    assert () == library.call("add", zero, zero).shape
    assert (0, 3) == library.call("add", X[:0], X[0]).shape


def test_infer_gives_shape_and_dtype(library: ops_wasm32.Library) -> None:
    assert [((2, 3), "float32")] == library.infer("add", X, X[:1])


def test_results_are_copies_and_the_arena_grows(library: ops_wasm32.Library) -> None:
    first = library.call("add", X, X)
    large = np.ones(1 << 20, np.float32)
    assert 2.0 * large.size == library.call("add", large, large).sum()
    assert (X + X).tolist() == first.tolist()


def test_error_of_the_module_has_code_and_text(library: ops_wasm32.Library) -> None:
    with pytest.raises(ops_wasm32.OpsError, match="do not broadcast") as caught:
        library.call("add", X, np.ones((4, 3), np.float32))
    assert (4, str(caught.value)) == (caught.value.code, caught.value.text)
    assert (X + X).tolist() == library.call("add", X, X).tolist()


def test_rank_above_8_is_the_modules_error(library: ops_wasm32.Library) -> None:
    with pytest.raises(ops_wasm32.OpsError, match="9"):
        library.call("add", X.reshape(1, 1, 1, 1, 1, 1, 1, 2, 3), X)


def test_names_are_sorted(library: ops_wasm32.Library) -> None:
    assert sorted(library.ops()) == library.ops()
    assert sorted({"add", *library.operators()}) == library.operators()


# Mistakes in calls


def test_float64_names_the_dtypes_taken(library: ops_wasm32.Library) -> None:
    text = text_of(library.call, "add", X.astype(np.float64), X)
    assert "add: input a has dtype float64; it takes float32, int32" in text
    assert text.endswith('Convert it first: a.astype("float32")')


def test_mixed_dtypes_list_the_kernels(library: ops_wasm32.Library) -> None:
    text = text_of(library.call, "add", X, X.astype(np.int32))
    assert "no kernel takes (a: float32, b: int32)" in text
    assert "add_int8(a: int8, b: int8)" in text


def test_unknown_operator_lists_all(library: ops_wasm32.Library) -> None:
    text = text_of(library.call, "ad", X)
    assert "operator 'ad' is unknown; did you mean pad or add?" == text
    text = text_of(library.call, "frobnicate", X)
    names = ", ".join(library.operators())
    assert f"operator 'frobnicate' is unknown; use {names}" == text


def test_numbers_without_dtype_are_ambiguous(library: ops_wasm32.Library) -> None:
    assert "the inputs fit add_float32, add_int32" in text_of(library.call, "add", 1, 2)


def test_wrong_arguments_name_the_right_ones() -> None:
    def call(*inputs: object, **named: object) -> str:
        return text_of(bind, "conv", [CONV], inputs, named)

    assert call(X).startswith("conv: input w is missing; it takes x, w, b?")
    assert "got 4 inputs; it takes 3: x, w, b" in call(X, X, X, X)
    text = call(X, X, stride=1)
    assert "argument 'stride' is unknown; did you mean strides? inputs: x, w" in text
    assert "input x is given by its position and by its name" in call(X, X, x=X)
    assert "input w is a str" in call(X, "w")
    assert "group is 1.5; give one int" in call(X, X, group=1.5)
    assert "pads is [1, 2, 3]; give a list of ints, 2 for each axis" in call(
        X, X, pads=[1, 2, 3]
    )
    assert "do not agree: strides for 1, pads for 2" in call(
        X, X, strides=[1], pads=[0, 0, 0, 0]
    )
    assert "group is 9223372036854775808; it does not fit" in call(X, X, group=2**63)


def test_choices_go_by_name() -> None:
    x = np.zeros(3, np.int8)
    assert "mode is 'edge'; use constant, reflect" in text_of(
        bind, "pad", [PAD], (x,), {"mode": "edge", "pads": [1, 1]}
    )
    bound = bind("pad", [PAD], (x,), {"mode": "reflect", "pads": [1, 2], "value": 3})
    assert (1, 3, 1, 2) == bound.attributes


def test_required_attributes() -> None:
    x = np.zeros(3, np.int8)
    assert text_of(bind, "concat", [CONCAT], (x,), {}).endswith(
        "attribute axis is required; give axis="
    )
    assert text_of(bind, "slice", [SLICE], (x,), {"starts": [1]}).endswith(
        "attribute ends is required; give ends="
    )
    # Lists that nobody gives are empty: the call has no units.
    assert () == bind("slice", [SLICE], (x,), {}).attributes
    assert () == bind("slice", [SLICE], (x,), {"starts": []}).attributes


def test_lists_left_out_are_filled_with_defaults() -> None:
    assert (None,) == bind("conv", [CONV], (X, X), {}).attributes
    bound = bind("conv", [CONV], (X, X, None), {"strides": (2, 3)})
    assert (2, 3, None, None, None, None, None) == bound.attributes
    assert bound.inputs[2] is None


def test_variadic_inputs_as_list_or_one_by_one() -> None:
    a = np.zeros(3, np.int8)
    for inputs in ((a, a), ([a, a],)):
        bound = bind("concat", [CONCAT], inputs, {"axis": 0})
        assert (2, (0,)) == (len(bound.inputs), bound.attributes)
    assert 2 == len(bind("concat", [CONCAT], (), {"x": [a, a], "axis": 0}).inputs)
    nothing: list[tuple[list[Array], ...]] = [(), ([],)]
    for empty in nothing:
        text = text_of(bind, "concat", [CONCAT], empty, {"axis": 0})
        assert "concat: input x is missing; give one or more" == text
    assert "input x takes a list of arrays, got ndarray" in text_of(
        bind, "concat", [CONCAT], (), {"x": a, "axis": 0}
    )


def test_variadic_outputs_are_counted() -> None:
    x = np.zeros(5, np.int8)
    bound = bind("split", [SPLIT], (x,), {"split": [2, 3]})
    assert (2, (2, 3)) == (len(bound.outputs), bound.attributes)
    bound = bind("split", [SPLIT], (x,), {"num_outputs": 3})
    assert (3, (None, None, None)) == (len(bound.outputs), bound.attributes)
    assert "give split=[...] or num_outputs=" in text_of(
        bind, "split", [SPLIT], (x,), {}
    )
    for count in (0, -1, 1.0, True, 10**9):
        assert f"num_outputs is {count!r}; give an int, 1 to 65536" in text_of(
            bind, "split", [SPLIT], (x,), {"num_outputs": count}
        )
    assert "do not agree" in text_of(
        bind, "split", [SPLIT], (x,), {"split": [5], "num_outputs": 2}
    )


def test_output_dtype_is_chosen() -> None:
    for named in ({"to": "int8"}, {"dtype": np.int8}, {"to": np.dtype("int8")}):
        assert CASTS[1] == bind("cast", CASTS, (X,), named).kernel
    assert "choose by to= (int32, int8)" in text_of(bind, "cast", CASTS, (X,), {})
    assert "to is 1; give one of float32, int32" in text_of(
        bind, "cast", CASTS, (X,), {"to": 1}
    )
    assert "to='bool' is not an output dtype of it; use int32, int8" in text_of(
        bind, "cast", CASTS, (X,), {"to": "bool"}
    )


@pytest.mark.parametrize(
    ("kernel", "value", "text"),
    [
        ("add_int8", 300, "300 does not fit int8; it holds -128 to 127"),
        ("add_int32", [1.5], "1.5 is no whole number, but the dtype is int32"),
        ("add_int32", float("nan"), "nan is no whole number"),
        ("add_int32", True, "True is a bool, but the dtype is int32"),
        ("add_float32", 1e39, "1e+39 is too large for float32"),
        ("add_float32", 10**400, "is too large for float32"),
        ("add_float32", [["1"]], "'1' is not a number"),
        ("add_float32", [[1], [1, 2]], "its rows differ in length"),
    ],
)
def test_values_are_never_changed(kernel: str, value: object, text: str) -> None:
    call = ops_wasm32.load().call
    assert text in text_of(call, kernel, value, value)


@pytest.mark.parametrize("operator", ["exp", "gelu", "sigmoid", "tanh"])
def test_an_element_does_not_depend_on_its_neighbours(operator: str) -> None:
    # Fused multiply-adds may round a block's two forms apart, so not relaxed-simd.
    library = ops_wasm32.load(target="simd128")
    x = np.linspace(-6, 6, 4096, dtype=np.float32)
    among_nan = np.stack([x, np.full_like(x, np.nan)], axis=1)
    alone = library.call(operator, x)
    assert alone.tobytes() == library.call(operator, among_nan)[:, 0].tobytes()


def test_threads_may_share_a_library(library: ops_wasm32.Library) -> None:
    def adds(number: int) -> bool:
        x = np.full(500, number, np.float32)
        return all((library.call("add", x, x) == 2 * number).all() for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert [True] * 4 == list(pool.map(adds, range(4)))


def test_a_result_that_numpy_cannot_hold_is_named(library: ops_wasm32.Library) -> None:
    """It has no elements, so that the module gives it."""
    most = 2**31 - 1
    with pytest.raises(ops_wasm32.ArgumentError, match=r"shape.*2147483647.*numpy"):
        library.call(
            "tile", np.zeros((0, 1, 1, 1), "f4"), repeats=[1, most, most, most]
        )
