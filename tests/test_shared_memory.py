"""Tensors that share bytes: refused where a result would change, and only there."""

from __future__ import annotations

import struct

import numpy as np
import ops_wasm32
import pytest
from abi import Module, integer, library_path
from numpy.typing import NDArray

from toolchain.targets import TARGETS

POINTER = 5
STEPS = range(-24, 28, 4)  # bytes from an input of 16


@pytest.fixture(params=list(TARGETS))
def module(request: pytest.FixtureRequest) -> Module:
    return Module(library_path(request.param))


def overlaps(module: Module, code: int) -> bool:
    """Whether a call was refused for that, or else made."""
    assert code in (0, POINTER), module.error()
    assert code == 0 or "overlaps data of" in module.error()
    return code == POINTER


@pytest.mark.parametrize("step", STEPS)
def test_an_output_before_in_and_after_an_input(module: Module, step: int) -> None:
    at = module.alloc(128) + 64
    module.write(at, struct.pack("<4f", 1, 2, 3, 4))
    other = module.store_bytes(struct.pack("<4f", 10, 20, 30, 40))
    x, y, out = (module.tensor([4], data=d) for d in (at, other, at + step))
    shares = -16 < step < 16
    for a, b in ((x, y), (y, x)):
        module.write(at, struct.pack("<4f", 1, 2, 3, 4))
        code = module.call("add_float32", a, b, out)
        assert overlaps(module, code) == (shares and step != 0)
        if not code:
            assert module.floats(out, 4) == [11, 22, 33, 44]
    module.write(at, struct.pack("<4f", 1, 2, 3, 4))
    code = module.call("softmax_float32", x, out, integer(0))
    assert overlaps(module, code) == shares  # not element by element


def test_in_place_takes_the_same_elements(module: Module) -> None:
    at = module.alloc(64)
    one, four = module.tensor([1], data=at), module.tensor([4], data=at)
    other = module.tensor([4])
    assert overlaps(module, module.call("add_float32", one, other, four))
    assert "data of out overlaps data of a" in module.error()
    assert overlaps(module, module.call("add_float32", other, one, four))
    assert "data of out overlaps data of b" in module.error()
    narrow = module.tensor([4], "int8", data=at)
    assert overlaps(module, module.call("cast_float32_int8", four, narrow))
    assert not overlaps(module, module.call("relu_float32", four, four))


@pytest.mark.parametrize("step", [-8, -4, 0, 4, 8])
def test_two_outputs(module: Module, step: int) -> None:
    at = module.alloc(64) + 16
    x = module.tensor([4])
    parts = [module.tensor([2], data=d) for d in (at, at + step)]
    args = (*parts, integer(0), integer(2), integer(2))
    code = module.call("split_float32", x, *args)
    assert overlaps(module, code) == (abs(step) < 8)


@pytest.mark.parametrize("at", [-1, 0, 1, 4, 8, 11, 12, None])
def test_an_empty_tensor_shares_nothing(module: Module, at: int | None) -> None:
    """Wherever it lies: at an output, inside it, at its end, nowhere."""
    data = module.alloc(64)
    x, out = module.tensor([3]), module.tensor([3], data=data + 16)
    fill = struct.pack("<3f", 1, 2, 3)
    module.write(module.data(x), fill)
    empty = module.tensor([0], data=0 if at is None else data + 16 + at)
    for inputs in ((x, empty), (empty, x)):
        code = module.call("concat_float32", *inputs, out, integer(0))
        assert code == 0, module.error()
        assert module.floats(out, 3) == [1, 2, 3]
    # An empty output, in an input and in another output.
    nothing = (integer(0), integer(3), integer(0))
    for source in (x, module.tensor([3], data=data + 16)):
        if module.data(source) != module.data(out):
            code = module.call("split_float32", source, out, empty, *nothing)
            assert code == 0, module.error()
    inside = module.tensor([0], data=module.data(x) + 4)
    code = module.call("split_float32", x, out, inside, *nothing)
    assert code == 0, module.error()
    for shape in ([0], [2, 0], [0, 3]):
        a, b = (module.tensor(shape, data=data + d) for d in (0, 4))
        assert module.call("add_float32", a, b, a) == 0, module.error()
        assert module.call("softmax_float32", a, b, integer(0)) == 0, module.error()


@pytest.mark.parametrize("device", [-1, 0, 2, 257])
def test_another_device_is_refused(module: Module, device: int) -> None:
    right = [module.tensor([2]) for _ in range(3)]
    assert module.call("add_float32", *right) == 0, module.error()
    for turn, name in enumerate(("a", "b", "out")):
        args = list(right)
        args[turn] = module.tensor([2], device_type=device)
        assert module.call("add_float32", *args) == 2
        text = f"add_float32: {name} is on device type {device}; use 1"
        assert module.error() == text


def library(target: str) -> ops_wasm32.Library:
    return ops_wasm32.load(library_path(target))


@pytest.mark.parametrize("target", TARGETS)
def test_few_columns(target: str) -> None:
    """Rows whose elements lie k apart, less and more than a vector."""
    loaded = library(target)
    rng = np.random.default_rng(5)
    for k in (1, 2, 3, 4, 5, 15, 16, 17):
        for before, n in ((1, 1), (1, 7), (3, 16), (2, 33)):
            x = rng.normal(size=(before, n, k)).astype(np.float32)
            wide = x.astype(np.float64)
            e = np.exp(wide - wide.max(1, keepdims=True))
            soft = e / e.sum(1, keepdims=True)
            close(loaded.call("softmax", x, axis=1), soft)
            close(loaded.call("cum_sum", x, axis=1), wide.cumsum(1))
            close(loaded.call("reduce_sum", x, axes=[1], keepdims=0), wide.sum(1))
            whole = (x * 10).astype(np.int8)
            same(loaded.call("reduce_max", whole, axes=[1], keepdims=0), whole.max(1))
            same(loaded.call("cum_sum", whole, axis=1), whole.cumsum(1, np.int8))
            same(loaded.call("arg_max", x, axis=1, keepdims=0), x.argmax(1))


def close(got: NDArray[np.float32], want: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def same(got: NDArray[np.float32], want: NDArray[np.generic]) -> None:
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["int64", "float32", "int8"])
def test_the_end_of_the_buffer_for_broadcasts(target: str, dtype: str) -> None:
    """A strip that fills its buffer: what is written past it is not read."""
    loaded = library(target)
    for inner in (1, 2, 3, 5, 7, 31, 397, 400, 401, 1599, 1600, 1601):
        rows = 5000 // inner + 3
        a = np.arange(rows).astype(dtype)[:, None]
        b = np.array(7, dtype)
        column = np.arange(inner).astype(dtype)
        broadcast = np.broadcast_to(a, (rows, inner))
        np.testing.assert_array_equal(
            loaded.call("where", column > 0, a, b), np.where(column > 0, broadcast, b)
        )
        np.testing.assert_array_equal(
            loaded.call("sub", a, np.full((1, inner), 9, dtype)), broadcast - b - 2
        )
        np.testing.assert_array_equal(loaded.call("sub", b, a + column), b - a - column)
