"""Texts of the runtime, to the letter: signatures, dtypes, numbers, ends of buffers."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from abi import Module, integer, library_path, none, number

from toolchain.targets import TARGETS

SIGNATURES = (
    "add_float32(a: float32, b: float32) -> (out: float32)",
    "clip_float32(input: float32, min?: float32, max?: float32) -> (out: float32)",
    "concat_bool(x...: bool) -> (out: bool); axis: int >= -2147483648 <= 2147483647",
    "split_float32(x: float32) -> (out...: float32); "
    "axis: int = 0 >= -2147483648 <= 2147483647; "
    "split: int[1] = -1 >= -1 <= 2147483647",
    "slice_float32(x: float32) -> (out: float32); starts: int[1]; ends: int[1]; "
    "axes: int[1] = 2147483647 >= -2147483648 <= 2147483647; steps: int[1] = 1",
    "pad_int8(x: int8) -> (out: int8); mode: int{constant=0,reflect=1,edge=2,wrap=3} "
    "= 0; value: float = 0; pads: int[2] >= -2147483648 <= 2147483647",
    "layer_normalization_float32(x: float32, scale: float32, bias?: float32) -> "
    "(out: float32); axis: int = -1 >= -2147483648 <= 2147483647; "
    "epsilon: float = 0.00001",
    "hard_sigmoid_float32(x: float32) -> (out: float32); alpha: float = 0.2; "
    "beta: float = 0.5",
    "quantize_linear_float32_int8(x: float32, y_scale: float32, y_zero_point?: int8) "
    "-> (out: int8); axis: int = 1 >= -2147483648 <= 2147483647",
    "matmul_packed_float32(a: float32, packed: float32, bias?: float32) -> "
    "(out: float32); columns: int >= 0 <= 2147483647; minimum: float = -inf; "
    "maximum: float = inf",
)
# What a number is shown as: nine digits and more, or all of a whole number.
NUMBERS = {
    0.0: "0",
    1.0: "1",
    -2.0: "-2",
    0.5: "0.5",
    -0.1: "-0.1",
    1e-5: "0.00001",
    1 / 3: "0.333333333",
    2 / 3: "0.666666667",
    99999999.5: "99999999.5",
    1e8 + 0.5: "100000000",
    123456789.0: "123456789",
    1e18: "1000000000000000000",
    8e18: "8000000000000000000",
    9e18: "9e18",
    1.5e19: "15e18",
    1e30: "1e30",
    3.4028234663852886e38: "340282347e30",
    9007199254740993e4: "900719925e11",
    2.0**-20: "0.000000953674316",
    math.inf: "inf",
    -math.inf: "-inf",
    math.nan: "nan",
}
# DLPack's code, bits and lanes of what is no dtype of an operator.
DTYPES = {
    (2, 16, 1): "float16",
    (4, 16, 1): "bfloat16",
    (5, 64, 1): "complex64",
    (3, 64, 1): "opaque64",
    (0, 16, 1): "int16",
    (1, 32, 1): "uint32",
    (6, 8, 1): "bool",
    (6, 8, 2): "boolx2",
    (7, 8, 1): "unknown8",
    (255, 255, 65535): "unknown255x65535",
    (2, 32, 4): "float32x4",
    (2, 32, 0): "float32x0",
}


@pytest.fixture(scope="module", params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


@pytest.mark.parametrize("text", SIGNATURES, ids=lambda t: t.partition("(")[0])
def test_signatures(module: Module, text: str) -> None:
    index = module.find(text.partition("(")[0])
    assert module.text(module.run("ops_signature", index)) == text


@pytest.mark.parametrize("value", NUMBERS, ids=str)
def test_numbers(module: Module, value: float) -> None:
    x, scale, out = module.tensor([2]), module.tensor([3]), module.tensor([2])
    args = (x, scale, none(), out, integer(-1), number(value))
    assert module.call("layer_normalization_float32", *args) == 4
    assert module.error() == (
        "layer_normalization_float32: scale has shape [3] but must be [2], as the last "
        "axes of x (got x float32[2], scale float32[3], bias none, axis=-1, "
        f"epsilon={NUMBERS[value]})"
    )


def test_a_float32_comes_back_from_its_text(module: Module) -> None:
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 1 << 32, 300, dtype=np.uint32)
    x, scale, out = module.tensor([2]), module.tensor([3]), module.tensor([2])
    for value in bits.view(np.float32)[np.isfinite(bits.view(np.float32))]:
        args = (x, scale, none(), out, none(), number(float(value)))
        assert module.call("layer_normalization_float32", *args) == 4
        shown = module.error().rpartition("epsilon=")[2].rstrip(")")
        assert shown.endswith("...") or np.float32(float(shown)) == value


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(module: Module, dtype: tuple[int, int, int]) -> None:
    code, bits, lanes = dtype
    wrong = module.tensor([2], code=code, bits=bits, lanes=lanes)
    args = (wrong, module.tensor([2]), module.tensor([2]))
    assert module.call("add_float32", *args) == 3
    text = f"add_float32: a is {DTYPES[dtype]} but must be float32; cast it"
    assert module.error() == text


def test_a_long_text_ends_in_dots(module: Module) -> None:
    x, out = module.tensor([1] * 8), module.tensor([1] * 8)
    whole = "slice_float32: steps[7] is 0; use 1 or more, or -1 or less (got x "
    whole += "float32[1,1,1,1,1,1,1,1]"
    for first in (0, 10**8, 10**17, -(10**17), -(2**63)):
        starts, ends = [first] * 8, [first + 1] * 8
        axes, steps = list(range(8)), [first or 1] * 7 + [0]
        lists = (*starts, *ends, *axes, *steps)
        assert module.call("slice_float32", x, out, *map(integer, lists)) == 6
        named = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
        text = whole + "".join(
            f", {name}=[{','.join(map(str, values))}]" for name, values in named.items()
        )
        text += ")"
        if len(text) > 511:
            text = text[:508] + "..."
        assert module.error() == text
    assert len(module.error()) == 511


@pytest.mark.parametrize("index", [-1, 1 << 20])
def test_no_such_operator(module: Module, index: int) -> None:
    count = module.run("ops_count")
    for function in ("ops_name", "ops_signature"):
        assert module.run(function, index) == 0
        text = f"no operator {index % 2**32}; there are {count}, see ops_find"
        assert module.error() == text
    for function in ("ops_call", "ops_infer"):
        assert module.run(function, index, 0, 0) == 1
    last, past = count - 1, count
    assert module.text(module.run("ops_name", last)).startswith("where_")
    assert module.run("ops_name", past) == 0


def test_names_are_looked_up_whole(module: Module) -> None:
    for name in ("", "add", "add_float3", "add_float322", "n" * 2000):
        assert module.find(name) == -1
        shown = name if len(name) < 1024 else "(no text)"
        count = module.run("ops_count")
        text = f'ops_find: no operator "{shown}"; ops_name has all {count}'
        assert module.error() == text
    end = module.memory.data_len(module.store)
    module.write(end - 4, b"add_")
    for at in (0, end, end - 4, 0xFFFFFFFF):
        assert module.run("ops_find", at) == -1
        assert '"(no text)"' in module.error()
    module.write(end - 4, struct.pack("4s", b"add"))
    assert module.run("ops_find", end - 4) == -1
    assert '"add"' in module.error()
    for i in range(module.run("ops_count")):
        assert module.run("ops_find", module.run("ops_name", i)) == i
