"""Powers inside models whose exponents have another dtype.

Integers against whole numbers wrapped; float32 against numpy's float64, rounded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from test_inside import Net, run

BASES = (0, 1, -1, 2, -2, 3, -3, 7, -10, 99, 2**31 - 1, -(2**31))
# Of int64 as they are; uint64 has 2^64 more for those below 0.
EXPONENTS = (
    *(0, 1, 2, 3, 5, 31, 32, 63, 64, 127, -1, -2, -3, -128, 255, 65535, 2**31),
    *(2**31 + 1, 2**32 + 1, 2**62, 2**62 + 3, 2**63 - 1, -(2**31), -(2**62) + 5),
)
INTEGERS = [f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)]


def _wrapped(value: int, dtype: str) -> int:
    kind = np.iinfo(dtype)
    return (value - kind.min) % (kind.max - kind.min + 1) + kind.min


def _power(base: int, exponent: int, dtype: str) -> int:
    if exponent >= 0:
        bits = np.iinfo(dtype).bits
        return _wrapped(pow(base, exponent, 1 << bits), dtype)
    return base ** (exponent % 2) if base in (1, -1) else 0


def _within(by: str) -> list[int]:
    """Exponents of a dtype."""
    ends = np.iinfo(by)
    found = [_wrapped(e, by) if by == "uint64" else e for e in EXPONENTS]
    return [e for e in found if ends.min <= e <= ends.max]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integer_powers(
    dtype: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    net, wants = Net(), []
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    net.inputs["x"] = np.array(BASES, dtype)[:, None]
    for by in INTEGERS:
        exponents = _within(by)
        net.inputs[by] = np.array([_wrapped(e, "int64") for e in exponents], "int64")
        to = helper.np_dtype_to_tensor_dtype(np.dtype(by))
        net.node("Cast", [by], f"{by}_y", to=to)
        net.node("Pow", ["x", f"{by}_y"], f"{by}_out")
        net.outputs.append(helper.make_tensor_value_info(f"{by}_out", kind, None))
        wants.append([[_power(x, e, dtype) for e in exponents] for x in BASES])
    for by, bits in (("float", TensorProto.FLOAT), ("double", TensorProto.DOUBLE)):
        net.inputs[by] = np.array([0, 1, 2, 3, 31, 40, 63, -1, -2], "float32")
        net.node("Cast", [by], f"{by}_y", to=bits)
        net.node("Pow", ["x", f"{by}_y"], f"{by}_out")
        net.outputs.append(helper.make_tensor_value_info(f"{by}_out", kind, None))
        given = [int(e) for e in net.inputs[by]]
        wants.append([[_power(x, e, dtype) for e in given] for x in BASES])
    found = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    names = [o.name for o in net.outputs]
    wrong = {
        name: (got != np.array(want)).sum()
        for name, got, want in zip(names, found, wants, strict=True)
        if got.tolist() != want
    }
    assert wrong == {}


def test_roots_of_integers_are_cut(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    net = Net()
    net.inputs["x"] = np.array([10, 1000, 2], "int32")
    net.node("Pow", ["x", net.constant(np.array(0.5, "f4"), "half")], "y")
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.INT32, None))
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    assert found.tolist() == [3, 31, 1]


FLOATS = (-1, 1, -1.0000001, 1.0000001, -0.9999999, -2, 0.0, -0.0, np.nan, np.inf)
WHOLE = (0, 3, -3, 2**24, 2**24 + 1, -(2**24) - 1, 2**31 - 1, -(2**31))
LONG = (2**32 + 1, 2**53 - 1, -(2**53) + 1, 2**62)


@pytest.mark.parametrize(("by", "more"), [("int32", ()), ("int64", LONG)])
@pytest.mark.parametrize("constant", [True, False])
def test_powers_of_floats_see_all_of_a_whole_exponent(
    by: str,
    more: tuple[int, ...],
    constant: bool,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """float32 has no 2^24 + 1, with which -1 and all near 1 have another power."""
    net, x = Net(), np.array([*FLOATS, -np.inf], "float32")[:, None]
    exponents = np.array([*WHOLE, *more], by)
    net.inputs["x"], y = x, "y"
    if constant:
        y = net.constant(exponents, "y")
    else:
        net.inputs["y"] = exponents
    net.node("Pow", ["x", y], "out")
    net.outputs.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, None))
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    with np.errstate(all="ignore"):
        want = np.power(x.astype("float64"), exponents).astype("float32")
    np.testing.assert_array_max_ulp(found, want, 1)
    assert np.array_equal(np.signbit(found), np.signbit(want) & ~np.isnan(want))


def test_roots_of_floats(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    net = Net()
    net.inputs["x"] = np.array([4, -4, 0.0, -0.0, np.inf, -np.inf], "float32")
    net.node("Pow", ["x", net.constant(np.array(0.5, "f4"), "half")], "y")
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    want = np.array([2, np.nan, 0, 0, np.inf, np.inf])
    assert np.array_equal(found, want, equal_nan=True)
    assert not np.signbit(found[2:]).any()
