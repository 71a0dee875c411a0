"""The time of a call is bounded by what it reads and writes, whatever its attributes.

Time is fuel here, wasmtime's count of instructions: the same on any machine. Work is
bytes of tensors; of products, the multiplications that their sizes ask for as well.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
import wasmtime
from abi import library_path
from ops_wasm32.convert import Array
from ops_wasm32.instance import Instance
from ops_wasm32.signature import split_kernel

from toolchain.codegen.operators import load_operator
from toolchain.profile import load_profile
from toolchain.spec import Case, kernel_name

# A call's own: checks, also of each of 61 outputs with each other, and what is small.
FIXED = 500_000
# The most for a byte (126: pads of one byte on mvp), and of windows, which are folded
# in a step for each bit of their number of taps; the most for a multiplication.
PER_BYTE, PER_BYTE_OF_WINDOWS, PER_PRODUCT = 150, 2000, 40
# Bytes of outputs above which a case is left out: it takes long, rightly.
LARGEST = 4 << 20
# Mutated attributes of each kernel's cases.
CASES, MUTANTS = 4, 6
INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 255, 4096, 65536, 2**20, 2**20 - 1),
    *(2**28, 2**29, 2**30, 2**31 - 1, -(2**31), 2**62, -(2**63)),
)
NUMBERS = (0.0, -1.0, 1e30, -1e30, math.inf, math.nan)
MOST = 1 << 29  # numpy multiplies all sizes, and a size of 0 hides the others
TARGETS = ("simd128", "mvp")


@dataclass(frozen=True)
class Call:
    """Arguments of a kernel."""

    kernel: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        shapes = [getattr(x, "shape", x) for x in self.inputs]
        return f"{self.kernel} {shapes} {self.attributes}"[:300]


class Fueled:
    """A library whose calls count their instructions."""

    def __init__(self, path: Path) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        self.library = ops_wasm32.load(path)
        data = path.read_bytes()
        engine = wasmtime.Engine(config)
        self.instance = Instance(data, str(path), engine, fuel=1 << 40)
        # The one that calls go through.
        self.library._instance = self.instance

    def used(self, call: Call) -> tuple[int, int, int]:
        """Instructions, bytes and multiplications of a call."""
        store = self.instance._store
        try:
            found = self.library.infer(call.kernel, *call.inputs, **call.attributes)
        except (ops_wasm32.OpsError, ops_wasm32.ArgumentError):
            return 0, 0, 0
        outputs = [(math.prod(s), np.dtype(d).itemsize) for s, d in found]
        written = sum(n * size for n, size in outputs)
        if written > LARGEST:
            return 0, 0, 0
        bytes_read = sum(x.nbytes for x in _arrays(call.inputs))
        products = outputs[0][0] * _depth(call) if outputs else 0
        limit = allowed(call, bytes_read + written, products)
        store.set_fuel(2 * limit)
        before = store.get_fuel()
        try:
            self.library.call(call.kernel, *call.inputs, **call.attributes)
        except ops_wasm32.OpsError as error:
            if "fuel" in error.text:  # a trap leaves the instance's stack as it is
                library.cache_clear()
        used = before - store.get_fuel()
        store.set_fuel(1 << 40)
        return used, bytes_read + written, products


def allowed(call: Call, data: int, products: int) -> int:
    """Instructions that a call may take."""
    per_byte = PER_BYTE_OF_WINDOWS if "_pool_" in call.kernel else PER_BYTE
    return FIXED + per_byte * data + PER_PRODUCT * products


def _arrays(inputs: tuple[Any, ...]) -> Iterator[Array]:
    for x in inputs:
        if isinstance(x, (list, tuple)):
            yield from _arrays(tuple(x))
        elif x is not None:
            yield np.asarray(x)


def _depth(call: Call) -> int:
    """Multiplications for an element of a product, from the shapes of its inputs."""
    operator, _ = split_kernel(call.kernel)
    if len(call.inputs) < 2:
        return 0
    a, b = (np.shape(x) for x in call.inputs[:2])
    if operator in ("matmul", "matmul_integer", "matmul_packed"):
        return int(a[-1]) if a else 1
    if operator == "gemm":
        return int(a[0] if call.attributes.get("transA") else a[1])
    if operator == "conv":
        return math.prod(b[1:])
    if operator == "conv_packed":
        return int(b[1])
    return math.prod(b[:2]) if operator == "depthwise_packed" else 0


@functools.cache
def library(target: str) -> Fueled:
    return Fueled(library_path(target))


def check(target: str, call: Call) -> bool:
    """Whether the call was made; it took no more than it may."""
    used, data, products = library(target).used(call)
    assert used <= allowed(call, data, products), (
        f"{call} takes {used} for {data} bytes"
    )
    return used > 0


# Rows of a batch


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", ["matmul_float32", "matmul_integer_int8_int8"])
def test_a_batch_with_one_b_is_one_product(kernel: str, target: str) -> None:
    """Not a call of the kernel for each of its rows: that takes 5 times as long."""
    _, dtypes = split_kernel(kernel)
    zero_points = [np.zeros((), dtypes[0])] * (len(dtypes) - 1)

    def used(*shapes: tuple[int, ...]) -> int:
        inputs = [np.zeros(shape, dtypes[0]) for shape in shapes]
        return library(target).used(Call(kernel, (*inputs, *zero_points), {}))[0]

    together = used((400, 4), (4, 2))
    assert 0 < used((400, 1, 4), (4, 2)) < 1.1 * together
    assert 0 < used((20, 20, 1, 4), (1, 4, 2)) < 1.1 * together


# Axes that follow each other, and blocks that are known


@pytest.mark.parametrize("target", TARGETS)
def test_axes_that_are_one_cost_nothing(target: str) -> None:
    def used(kernel: str, *shapes: tuple[int, ...], **given: Any) -> int:
        return library(target).used(empty(kernel, *shapes, **given))[0]

    two, one = (5000, 2), (10_000,)
    split = used("tile_float32", two, repeats=[1, 1])
    assert 0 < split < 1.1 * used("tile_float32", one, repeats=[1])
    split = used("add_float32", (50, 40, 10), (50, 1, 1))
    assert 0 < split < 1.1 * used("add_float32", (50, 400), (50, 1))


@pytest.mark.parametrize("target", TARGETS)
def test_blocks_are_searched_once(target: str) -> None:
    """And such calls go without most checks."""
    call = Call("add_float32", (np.zeros(4, np.float32),) * 2, {})
    fresh = Fueled(library_path(target))
    first, second = (fresh.used(call)[0] for _ in range(2))
    assert 0 < second < 0.6 * first


# Any attributes


def mutants(kernel: str, case: Case, rng: random.Random) -> Iterator[Call]:
    """A case, and with some of its attributes at an extreme."""
    signature = library(TARGETS[0]).library.signature(kernel)
    yield Call(kernel, case.inputs, dict(case.attributes))
    for _ in range(MUTANTS if signature.attributes else 0):
        given = dict(case.attributes)
        for attribute in rng.sample(
            signature.attributes, rng.randint(1, min(3, len(signature.attributes)))
        ):
            value = given.get(attribute.name)
            if isinstance(value, (list, tuple)):
                values = list(value)
                for i in range(len(values)):
                    if rng.random() < 0.5:
                        values[i] = rng.choice(INTEGERS)
                given[attribute.name] = values
            elif not attribute.per_unit:
                kind = NUMBERS if attribute.kind == "float" else INTEGERS
                given[attribute.name] = rng.choice(kind)
        yield Call(kernel, case.inputs, given)


PROFILE = load_profile(None)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", list(PROFILE.operators))
def test_attributes_take_no_time(name: str, target: str) -> None:
    operator = load_operator(PROFILE.operators[name])
    rng = random.Random(name)
    made = 0
    for dtypes in operator.variants():
        kernel = kernel_name(name, dtypes)
        cases = list(operator.cases(dtypes, np.random.default_rng(0)))
        for case in rng.sample(cases, min(CASES, len(cases))):
            for call in mutants(kernel, case, rng):
                made += check(target, call)
    assert made


# Windows that overlap, and tensors without elements


def pool(kernel: str, shape: list[int], *, count: int = 0, **given: Any) -> Call:
    """A pool of zeros. given: kernel_shape, pads and others."""
    _, (dtype,) = split_kernel(kernel)
    if kernel.startswith("average"):
        given["count_include_pad"] = count
    return Call(kernel, (np.zeros(shape, dtype),), given)


def around(*taps: int) -> dict[str, Any]:
    """Windows with the most pads that they may have."""
    return {"kernel_shape": list(taps), "pads": [t - 1 for t in taps] * 2}


def empty(kernel: str, *shapes: tuple[int, ...], **given: Any) -> Call:
    """A call of float tensors, some without elements."""
    return Call(kernel, tuple(np.zeros(s, np.float32) for s in shapes), given)


POOLS = ("max_pool_float32", "max_pool_int8", "average_pool_float32")
WINDOWS = [
    call
    for kernel in POOLS
    for call in (
        pool(kernel, [1, 1, 1], **around(2**18)),
        pool(kernel, [1, 1, 5000], **around(2**18)),
        pool(
            kernel, [1, 1, 5000], dilations=[3], kernel_shape=[9000], pads=[26000] * 2
        ),
        pool(kernel, [1, 1, 20000], kernel_shape=[10000]),
        pool(kernel, [1, 1, 20000], kernel_shape=[10000], strides=[7], ceil_mode=1),
        pool(kernel, [1, 1, 1, 1], **around(512, 512)),
        pool(kernel, [1, 3, 60, 70], **around(60, 70)),
        pool(kernel, [1, 1, 1, 2000], **around(20_000, 2000) | {"strides": [1, 5000]}),
        pool(kernel, [1, 1, 2000, 1], **around(2000, 20_000) | {"strides": [5000, 1]}),
        pool(kernel, [1, 0, 1, 1], **around(8000, 8000)),
        pool(kernel, [1, 1, 1, 1], **around(8000, 8000) | {"strides": [2**20] * 2}),
        pool(
            kernel,
            [1, 1, 2, 2],
            kernel_shape=[2, 2],
            dilations=[7000, 7000],
            pads=[6999] * 4,
            strides=[90, 90],
        ),
    )
]
EMPTY = [
    empty("conv_float32", (1, 0, 1 << 16, 1 << 11), (4, 0, 1 << 16, 1 << 11), (4,)),
    empty("conv_float32", (1, 0, 1, 1), (1 << 18, 0, 1, 1), (1 << 18,), group=1 << 18),
    empty("conv_float32", (1, 1, 1, 1), (1, 1, 1, 2), pads=[0, 2**28, 0, 0],
          dilations=[1, 2**28]),
    empty("conv_float32", (1, 1, 1, 1), (9, 1, 1, 2), pads=[0, 2**20, 0, 0],
          dilations=[1, 2**20]),
    empty("conv_float32", (1, 2, 4, 4), (9, 2, 2, 2), pads=[5000, 5000, 0, 0],
          dilations=[5000, 5000]),
    empty("conv_packed_float32", (1, MOST >> 1, 1, 0), (1, 0, 8), (8,), features=8,
          kernel_shape=[MOST >> 1, 1]),
    empty("conv_packed_float32", (1, 1, 1, 0), (1, 0, 8), (8,), features=8,
          kernel_shape=[2**29, 1], pads=[2**28, 0, 2**28, 0]),
    empty("conv_packed_float32", (1, 1, 1, 1), (1, 2, 8), (8,), features=8,
          kernel_shape=[1, 2], pads=[0, 2**28, 0, 0], dilations=[1, 2**28]),
    empty("conv_packed_float32", (1, 1, 1, 1), (1, 1, 8), (8,), features=8,
          kernel_shape=[1, 1], pads=[2**20, 0, 0, 0], strides=[2**21, 1]),
    empty("depthwise_packed_float32", (1, 2**20, 2**9, 0), (2**20, 2**9, 0), (0,)),
    empty("depthwise_packed_float32", (1, 1, 1, 1), (1, 2, 1), (1,),
          pads=[0, 2**28, 0, 0], dilations=[1, 2**28]),
    empty("resize_float32", (1, 0, 1, 1), sizes=[1 << 30, 1 << 30]),
    empty("resize_float32", (1, 1, 1, 1), sizes=[1, 1 << 19], mode="linear"),
    empty("gemm_float32", (900, 0), (0, 900)),
    empty("matmul_float32", (900, 0), (0, 900)),
    empty("matmul_float32", (1 << 18, 1, 0), (1 << 18, 0, 1)),
    empty("matmul_pack_float32", (MOST, 0)),
    empty("conv_pack_float32", (0, MOST, 1, 1)),
    empty("conv_pack_float32", (8, 0, MOST, 1)),
    empty("tile_float32", (0, 1), repeats=[MOST, MOST]),
    empty("expand_float32", (0, 1), shape=[MOST, 0, MOST]),
    empty("transpose_float32", (1 << 19, 0, 1 << 19, 1 << 19), perm=[3, 2, 1, 0]),
    empty("reduce_sum_float32", (MOST, 0, MOST), axes=[0, 1, 2]),
    empty("reduce_sum_float32", (1 << 18, 0, MOST), axes=[1, 2]),
    empty("reduce_prod_float32", (1 << 19, 1 << 19, 0, 1 << 19), axes=[]),
    empty("concat_float32", (1 << 18, 0), axis=1),
    empty("softmax_float32", (MOST, 0), axis=1),
    empty("cum_sum_float32", (MOST, 0), axis=1),
    empty("layer_normalization_float32", (MOST, 0), (0,), (0,), axis=1),
    empty("batch_normalization_float32", (MOST, 0, MOST), (0,), (0,), (0,), (0,)),
    empty("global_average_pool_float32", (1, 1, 0, MOST)),
    empty("equal_count_float32", (MOST, 0, MOST), (MOST, 0, MOST)),
    empty("add_float32", (MOST, 0, 1), (1, 0, MOST)),
    empty("pad_float32", (0, 4), pads=[1 << 18, 0, 0, 0]),
    empty("pad_float32", (1, 1), pads=[1 << 18, 0, 1 << 18, 0], mode="edge"),
    empty("pad_float32", (1, 1), pads=[1 << 18, 0, 1 << 18, 0], mode="wrap"),
    empty("slice_float32", (MOST, 0), starts=[0], ends=[MOST], axes=[0], steps=[1]),
    empty("split_float32", (0, MOST), axis=1, split=[1, MOST - 1]),
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("call", [*WINDOWS, *EMPTY], ids=str)
def test_extremes_take_no_time(call: Call, target: str) -> None:
    # Tensors of the call before have elements, and there were more of them.
    full = [np.zeros(1, np.float32)] * 62
    library(target).library.call("concat_float32", *full, axis=0)
    check(target, call)
